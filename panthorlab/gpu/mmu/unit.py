# SPDX-License-Identifier: GPL-2.0-or-later
"""The MMU's address spaces: registers, latched translation, region locks, faults.

Source: panthor_regs.h and panthor_mmu.c (Linux 6.12, 7.3), panfrost_regs.h for what commands do. They complete at once;
AS_STATUS reads busy only by misdeed `as-stuck`. Translations that were used stay, whatever becomes of the page tables,
until UPDATE, a flush or UNLOCK of their region, or a reset. A flush of the GPU's caches leaves them.

No cache holds data; what a driver lets go before they are cleaned of it is known all the same: see `unclean`.
"""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.bus import BusMaster
from panthorlab.gpu.cs.ports import Access, BusError, MemoryFault, MemoryStall, Requester
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.generation import AddressSpaces
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.misbehave import Misbehaviour
from panthorlab.gpu.mmu.unclean import Unclean
from panthorlab.gpu.mmu.walk import Translation, WalkFault, permission, walk
from panthorlab.gpu.ram import GuestRam, NoRamError, Region
from panthorlab.gpu.registers import LOCK_SIZE, TRANSCFG_INA_BITS, TRANSCFG_MODE
from panthorlab.gpu.trace import Trace

UPDATE, LOCK, UNLOCK, FLUSH_PT, FLUSH_MEM = 1, 2, 3, 4, 5
COMMANDS = ("NOP", "UPDATE", "LOCK", "UNLOCK", "FLUSH_PT", "FLUSH_MEM")
MODE_UNMAPPED, MODE_IDENTITY, MODE_AARCH64_4K = 1, 2, 6
TRANSLATIONS = 4096
"""Translations of pages that an address space keeps at most. When there are more, it drops all."""
Release = Callable[[], None]


class AddressSpace:
    """One address space: its registers, and the translation that the last UPDATE latched."""

    def __init__(
        self,
        facts: AddressSpaces,
        index: int,
        ram: GuestRam,
        bus: BusMaster,
        irq: IrqBlock,
        reporter: Reporter,
        trace: Trace,
        overflow: int,
        bus_fault: Callable[[int], None],
        misbehaviour: Misbehaviour,
        now: Callable[[], float],
    ) -> None:
        self.index = index
        self._pa_bits, self._min_lock_bits, self._source_ids = facts.pa_bits, facts.min_lock_bits, facts.source_ids
        self._bus_fault = bus_fault
        self._misbehaviour, self._now = misbehaviour, now
        self._busy_until = 0.0
        self.track = f"AS {index}"
        self.ram, self._bus, self._irq, self._reporter, self._trace = ram, bus, irq, reporter, trace
        self._overflow = overflow
        self.transtab = self.memattr = self.lockaddr = self.transcfg = 0
        self.fault_status = self.fault_address = 0
        self.mode = MODE_UNMAPPED
        self.root = 0
        self.va_bits = 48
        self.epoch = 0  # number of UPDATEs
        self.locked: tuple[int, int] | None = None
        self.version = 0  # changes whenever cached translations become invalid
        self._tlb: dict[int, tuple[Region, int, Translation]] = {}
        # by page: the RAM of translations that already allowed this kind of access; checked first, for speed
        self._readable: dict[int, tuple[Region, int]] = {}
        self._writable: dict[int, tuple[Region, int]] = {}
        self._unclean = Unclean(index, reporter)
        self._waiting: list[Release] = []
        self.flushed: Release = lambda: None  # called at each flush
        self._watched: dict[int, bool] = {}  # for the trace: watched pages, and whether each was mapped

    def watch(self, va: int) -> None:
        """Show in the trace when the page at `va` is unmapped or mapped."""
        self._watched[va] = True

    # --- commands

    def command(self, value: int) -> None:
        """Register AS_COMMAND."""
        if rule := self._misbehaviour.strikes("as-stuck", space="user" if self.index else "firmware"):
            self._busy_until = self._now() + rule.seconds
        if value == UPDATE:
            self._update()
        elif value == LOCK:
            self._lock()
        elif value in (UNLOCK, FLUSH_PT, FLUSH_MEM):
            if value != UNLOCK:
                self.flushed()
                self.cleaned()
            else:
                self._finished("UNLOCK")
            if self.locked is not None:
                self._forget_within(*self.locked)
            elif value != UNLOCK:
                self.forget()
            self._unlock(COMMANDS[value])
        elif value:
            self._reporter.unmodelled(f"AS_COMMAND {value}", f"AS{self.index}_COMMAND {value}")

    def reset(self) -> None:
        """GPU reset: unmapped mode, no lock, registers zero. The fault registers keep their values."""
        self.transtab = self.memattr = self.lockaddr = 0
        self.transcfg = MODE_UNMAPPED
        self._busy_until = 0.0
        self.cleaned()
        self._unlock("reset", wake=False)
        self._update()

    @property
    def status(self) -> int:
        """Register AS_STATUS: bit 0, AS_ACTIVE."""
        return int(self._busy_until > 0 and self._now() < self._busy_until)

    def forget(self) -> None:
        """Drop cached translations."""
        self.version += 1
        self._tlb.clear()
        self._readable.clear()
        self._writable.clear()

    def cleaned(self) -> None:
        """The caches hold nothing more that was written through this address space."""
        if self._unclean.cleaned():
            self._writable.clear()  # so that the next store is noticed, also
            self.version += 1  # of those who keep translations of their own

    def _mapped_to(self, va: int) -> int | None:
        """Physical address of the page, by the page tables as they are."""
        try:
            found = walk(self.ram.read_quad, self.root, va, self.va_bits, self._pa_bits, self._overflow)
        except NoRamError:
            return None
        return found.pa & ~0xFFF if isinstance(found, Translation) else None

    def _forget_within(self, start: int, end: int) -> None:
        """Drop cached translations of the addresses from `start` to before `end`."""
        gone = [page for page in self._tlb if start <= page << 12 < end]
        if gone:
            self.version += 1
        for page in gone:
            del self._tlb[page]
            self._readable.pop(page, None)
            self._writable.pop(page, None)

    @property
    def enabled(self) -> bool:
        return self.mode != MODE_UNMAPPED

    def when_released(self, call: Release) -> None:
        """Call `call` once, when the lock is released or another translation is latched. It must check again then."""
        self._waiting.append(call)

    def _update(self) -> None:
        was, self.root = self.root, self.transtab & 0x0000_FFFF_FFFF_F000
        mode = TRANSCFG_MODE.of(self.transcfg)
        if self.enabled:
            self._trace.end(self.track)
            if self.root != was and mode != MODE_UNMAPPED:
                self._unclean.given_away()
        if self.root != was or mode == MODE_UNMAPPED:
            self.cleaned()
        self.forget()
        self.epoch += 1
        self._watched.clear()
        self.mode = mode
        self.va_bits = 55 - TRANSCFG_INA_BITS.of(self.transcfg)
        if self.mode not in (MODE_UNMAPPED, MODE_IDENTITY, MODE_AARCH64_4K):
            self._reporter.unmodelled(f"AS mode {self.mode}", f"AS{self.index}_TRANSCFG mode {self.mode}")
            self.mode = MODE_UNMAPPED
        if self.mode == MODE_AARCH64_4K and not 25 <= self.va_bits <= 48:
            self._reporter.unmodelled("AS input size", f"AS{self.index}_TRANSCFG: {self.va_bits} address bits")
            self.mode = MODE_UNMAPPED
        if self.enabled:
            self._trace.begin(self.track, f"enabled, epoch {self.epoch}", root=f"0x{self.root:x}")
        self._wake()

    def _lock(self) -> None:
        bits = max(LOCK_SIZE.of(self.lockaddr) + 1, self._min_lock_bits)
        if bits >= 64:
            start, end = 0, 1 << 64
        else:
            start = self.lockaddr >> bits << bits
            end = start + (1 << bits)
        self._finished("the lock moved", but=(start, end))
        self._unlock("LOCK", wake=False)  # a second LOCK moves the region; waiters of the old one check again
        self.locked = (start, end)
        if self._trace.on:
            self._trace.begin(self.track, f"LOCK 0x{start:x}+0x{end - start:x}")
        if self._waiting:
            self._wake()

    def _finished(self, by: str, but: tuple[int, int] = (0, 0)) -> None:
        """The locked region is open to the GPU again, except for what is within `but`."""
        if self.locked is not None and self.mode == MODE_AARCH64_4K:
            self._unclean.finished(*self.locked, but, by, self._mapped_to)

    def _unlock(self, by: str, wake: bool = True) -> None:
        if self.locked is not None:
            self.locked = None
            if self._trace.on:
                self._trace.end(self.track, by=by)
                self._show_unmapped()
        if wake and self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _show_unmapped(self) -> None:
        if self.mode != MODE_AARCH64_4K:
            return
        for va, mapped in self._watched.items():
            if mapped is (self._mapped_to(va) is None):
                self._watched[va] = not mapped
                self._trace.instant(self.track, f"0x{va:x} {'unmapped' if mapped else 'mapped'}")

    # --- accesses

    def look_up(self, va: int, access: Access, requester: Requester, wait: bool = True) -> tuple[Region, int, int]:
        """Translate `va`: its RAM region, the offset in it, and the bytes from there to the end of the mapping.

        Raises MemoryFault (latched, interrupt raised), MemoryStall (unless not `wait`), BusError.
        """
        if self.mode == MODE_UNMAPPED:
            self._reporter.counts["access to a disabled address space"] += 1
            raise BusError(va)
        locked = self.locked
        if locked is not None and wait and locked[0] <= va < locked[1]:
            raise MemoryStall(va)
        if "mmu-fault" in self._misbehaviour.watched:
            kind = "write" if access in (Access.WRITE, Access.ATOMIC) else "read"
            rule = self._misbehaviour.strikes("mmu-fault", requester=requester.name.lower(), access=kind)
            if rule is not None:
                raise self._fault(rule.exception, va, access, requester)
        cached = self._tlb.get(va >> 12)
        if cached is None:
            found = self._walk(va, access, requester)
            if len(self._tlb) >= TRANSLATIONS:
                self.forget()
            cached = self._tlb[va >> 12] = found
        region, base, leaf = cached
        fault = permission(leaf.entry, leaf.level, access in (Access.WRITE, Access.ATOMIC), access is Access.EXECUTE)
        if fault is not None:
            raise self._fault(fault.exception, va, access, requester)
        if access in (Access.WRITE, Access.ATOMIC) and not region.writable:
            raise self._no_ram(base, va)
        if access is Access.READ:
            self._readable[va >> 12] = region, base - region.base
        elif access in (Access.WRITE, Access.ATOMIC):
            self._writable[va >> 12] = region, base - region.base
            self._unclean.written(va, base)
        return region, base + (va & 0xFFF) - region.base, 0x1000 - (va & 0xFFF)

    def _walk(self, va: int, access: Access, requester: Requester) -> tuple[Region, int, Translation]:
        found: Translation | WalkFault
        if not self._bus.enabled:
            self._bus.refuse(f"{access.name.lower()} by {requester.name}", f"AS{self.index} 0x{va:x}")
            self._bus_fault(self.root)
            raise BusError(va)
        try:
            if self.mode == MODE_IDENTITY:
                found = Translation(va, 12, 3, 0x40)
            else:
                found = walk(self.ram.read_quad, self.root, va, self.va_bits, self._pa_bits, self._overflow)
            if isinstance(found, Translation):
                page = found.pa & ~0xFFF
                return self.ram.region(page), page, found
        except NoRamError as error:
            raise self._no_ram(error.pa, va) from error
        raise self._fault(found.exception, va, access, requester)

    def _no_ram(self, pa: int, va: int) -> BusError:
        self._reporter.check("outside RAM", f"AS{self.index} 0x{va:x} leads to 0x{pa:x}, where there is no guest RAM")
        self._bus_fault(pa)
        return BusError(va)

    def _fault(self, exception: int, va: int, access: Access, requester: Requester) -> MemoryFault:
        self.raise_fault(exception, va, access, requester)
        return MemoryFault(va, exception, access)

    def raise_fault(self, exception: int, va: int, access: Access, requester: Requester) -> None:
        """Latch a fault and raise the interrupt. While a fault is pending, it stays latched."""
        bit = 1 << self.index
        status = self._source_ids[requester] << 16 | access << 8 | exception
        text = f"AS{self.index} 0x{va:x} 0x{status:08X}"
        if self._irq.raw & bit:
            self._reporter.counts["mmu-fault already latched"] += 1
            self._trace.instant(self.track, f"fault, already latched: {text}")
            return
        self.fault_status, self.fault_address = status, va
        self._reporter.event("mmu-fault", text)
        self._trace.instant(self.track, f"FAULT {text}")
        self._irq.set(bit)

    def read(self, va: int, size: int, requester: Requester, wait: bool = True) -> bytes:
        known = self._readable.get(va >> 12) if self.locked is None and not self._misbehaviour.watched else None
        if known is not None and (va & 0xFFF) + size <= 0x1000:
            region, base = known
            at = base + (va & 0xFFF)
            return region.memory[at : at + size]
        parts = []
        while size > 0:
            region, at, room = self.look_up(va, Access.READ, requester, wait)
            part = min(size, room)
            parts.append(region.memory[at : at + part])
            va += part
            size -= part
        return b"".join(parts)

    def write(self, va: int, data: bytes, requester: Requester, wait: bool = True) -> None:
        size = len(data)
        self.ram.stores += 1
        known = self._writable.get(va >> 12) if self.locked is None and not self._misbehaviour.watched else None
        if known is not None and (va & 0xFFF) + size <= 0x1000:
            region, base = known
            at = base + (va & 0xFFF)
        else:
            region, at, room = self.look_up(va, Access.WRITE, requester, wait)
            if size > room:
                self._write_across(va, data, requester, wait)
                return
        if size == 8 and not at & 7:
            region.quads[at >> 3] = int.from_bytes(data, "little")
        elif size == 4 and not at & 3:
            region.words[at >> 2] = int.from_bytes(data, "little")
        else:
            region.bytes[at : at + size] = data

    def _write_across(self, va: int, data: bytes, requester: Requester, wait: bool) -> None:
        """Store what crosses pages, after all of them were found to allow it."""
        size = len(data)
        pieces = []
        done = 0
        while done < size:
            region, at, room = self.look_up(va + done, Access.WRITE, requester, wait)
            part = min(size - done, room)
            pieces.append((region, at, done, part))
            done += part
        for region, at, done, part in pieces:
            region.bytes[at : at + part] = data[done : done + part]
