# SPDX-License-Identifier: GPL-2.0-or-later
"""The heap context write-out: before SUSPEND or TERMINATE is acknowledged, the firmware stores the contexts of the
tiler heaps that are bound to the group's command streams. If their memory is unmapped by then, the MMU faults.

Each write walks the page tables when it is made, with the translation that the address space has latched then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from panthorlab.gpu.chip import Chip
from panthorlab.gpu.cs.ports import BusError, MemoryFault, MemoryStall, Requester
from panthorlab.gpu.loop import Timer
from panthorlab.gpu.mmu.unit import AddressSpace
from panthorlab.gpu.params import Params

WORTH_WAITING = 0.0003  # seconds


@dataclass(frozen=True)
class HeapWrite:
    """One store of `data` at `va`, for command stream `stream`; `epoch`: the address space's epoch at HEAP_SET."""

    stream: int
    va: int
    data: bytes
    epoch: int


def heap_write(params: Params, stride: int, stream: int, context: int, data: bytes, epoch: int) -> HeapWrite:
    """The part of the heap context `data` at `context` that the firmware writes; contexts are `stride` bytes apart."""
    size, offset = params.integer("writeout.size"), params.integer("writeout.offset")
    return HeapWrite(stream, context + offset, data.ljust(stride, b"\0")[offset : offset + size], epoch)


class WriteOut:
    """One write-out; after `start` it needs no calls. Calls `done` once, unless cancelled."""

    def __init__(
        self,
        chip: Chip,
        track: str,
        space: AddressSpace,
        writes: Sequence[HeapWrite],
        done: Callable[[], None] | None = None,
    ) -> None:
        self._chip, self._track, self._space = chip, track, space
        self._writes = list(writes)
        self._done = done
        self._timer: Timer | None = None
        self._waited = self._patience = 0.0
        self._turn = 0  # distinguishes a late call from the MMU from the expected one
        self._started = chip.loop.now()
        self._requester = Requester.MCU if chip.params.word("writeout.source") == "mcu" else Requester.LSU

    def start(self, delay: float) -> None:
        """Begin after `delay` seconds."""
        self._chip.trace.begin(self._track, f"write-out of {len(self._writes)} heap contexts")
        self._waited = self._chip.guest_waited()
        self._patience = self._chip.params.number("writeout.patience_ms") / 1000
        self._timer = self._chip.loop.call_later(delay, self._due)

    def _due(self) -> None:
        """The delay is over by the wall clock. Add the time for which the host did not run the ready guest."""
        waited = self._chip.guest_waited()
        more = min(waited - self._waited, self._patience)
        if more > WORTH_WAITING:
            self._waited, self._patience = waited, self._patience - more
            self._chip.reporter.counts["write-out put off for a starved guest"] += 1
            self._timer = self._chip.loop.call_later(more, self._due)
        else:
            self._next()

    def cancel(self) -> None:
        """Drop the writes not made yet (reset, MCU stopped)."""
        self._turn += 1
        self._writes.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._chip.trace.end(self._track, result="cancelled")

    def _next(self) -> None:
        self._turn += 1
        if self._timer is not None:
            self._timer.cancel()
        if not self._writes:
            self._chip.trace.end(self._track)
            if self._done is not None:
                self._done()
            return
        write = self._writes[0]
        try:
            self._space.write(write.va, write.data, self._requester)
        except MemoryStall:
            self._hold("locked", self._chip.params.number("writeout.lock_ms") / 1000, self._lock_released)
        except MemoryFault as fault:
            self._report(write, f"fault 0x{fault.exception_type:02X}")
            stall = self._chip.params.number("writeout.stall_ms") / 1000
            if stall:
                self._hold("until the address space is disabled", stall, self._space_changed)
            else:
                self._drop()
        except BusError:
            self._report(write, "dropped: address space disabled")
            self._drop()
        else:
            self._report(write, "written")
            self._drop()

    def _drop(self) -> None:
        self._writes.pop(0)
        self._next()

    def _report(self, write: HeapWrite, result: str) -> None:
        late = self._chip.loop.now() - self._started
        text = f"{self._track}.{write.stream} AS{self._space.index} 0x{write.va:x}: {result}"
        reporter = self._chip.reporter
        reporter.counts[f"write-out {result}"] += 1
        reporter.durations["request to write-out"].add(late)
        epochs = {"bound_in_epoch": write.epoch, "epoch": self._space.epoch}
        reporter.event("write-out", text, after_us=round(late * 1e6), **epochs)
        self._chip.trace.instant(self._track, f"heap context 0x{write.va:x}: {result}", **epochs)

    # --- waiting for the MMU

    def _hold(self, why: str, seconds: float, released: Callable[[], bool]) -> None:
        self._chip.reporter.counts[f"write-out held: {why}"] += 1
        turn = self._turn

        def look() -> None:
            if turn != self._turn:
                return
            if not released():
                self._space.when_released(look)

        def give_up() -> None:
            self._chip.reporter.check("write-out", f"{self._track}: held for {seconds * 1000:g} ms ({why}), given up")
            self._drop()

        self._timer = self._chip.loop.call_later(seconds, give_up)
        self._space.when_released(look)

    def _lock_released(self) -> bool:
        self._next()
        return True

    def _space_changed(self) -> bool:
        if self._space.enabled:
            return False
        self._drop()
        return True
