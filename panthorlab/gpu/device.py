# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU as the guest's CPU sees it: the registers of BAR0. No socket here; see `server` for that."""

from __future__ import annotations

import random
from functools import partial

from panthorlab.gpu.bus import BusMaster
from panthorlab.gpu.chip import Chip, Clock
from panthorlab.gpu.coherency import Coherency
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.fw.mcu import Mcu
from panthorlab.gpu.fw.memory import McuMemoryError
from panthorlab.gpu.fw.ports import McuHangError
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import Timers
from panthorlab.gpu.misbehave import Misbehaviour
from panthorlab.gpu.mmu.spaces import Mmu
from panthorlab.gpu.mmu.unit import AddressSpace
from panthorlab.gpu.params import Params
from panthorlab.gpu.pci import CLOCK_STOPPED
from panthorlab.gpu.power import Domains, Read, Write
from panthorlab.gpu.ram import GuestRam
from panthorlab.gpu.registerfile import RegisterFile
from panthorlab.gpu.registers import (
    COMMAND_PAYLOAD,
    COMMAND_TYPE,
    GPU_BUS_FAULT,
    GpuCommand,
    GpuIrq,
    McuStatus,
    Register,
    RegisterKind,
)
from panthorlab.gpu.trace import Trace
from panthorlab.gpu.wrongirqs import WrongInterrupts

LOW, HIGH = 0xFFFFFFFF, 0xFFFFFFFF << 32
IRQ_NAMES = ("job", "mmu", "gpu")  # order of the MSI-X vectors


class GpuDevice:
    """One GPU of a generation. `read` and `write` are aligned 32-bit register accesses and return at once. `seed`: of
    its random choices; two GPUs have two."""

    mcu_type = Mcu

    def __init__(
        self,
        generation: Generation,
        params: Params,
        reporter: Reporter,
        trace: Trace,
        loop: Timers,
        seed: int | str = 0,
    ) -> None:
        self.generation = generation
        self.ram, self.bus = GuestRam(), BusMaster(reporter)
        self.irqs = [IrqBlock(name, self._watch_irq if trace.on else None) for name in IRQ_NAMES]
        job, mmu_irq, gpu = self.irqs
        self._trace, self._reporter, self._loop = trace, reporter, loop
        self._fault_status = self._fault_address = 0
        self._clock_stopped = False
        self._misbehaviour = misbehaviour = Misbehaviour(random.Random(f"misbehave {seed}"), reporter, trace)  # noqa: S311
        self.coherency = Coherency(params.word("coherency"), reporter, misbehaviour)
        mmu = Mmu(
            generation.spaces,
            self.ram,
            self.bus,
            mmu_irq,
            reporter,
            trace,
            self._bus_fault,
            misbehaviour,
            loop.now,
            params.word("mmu.va_overflow"),
        )
        clock = Clock(loop.now, params.integer("timestamp.hz"), params.integer("clock.hz"))
        # a log that pairs TIMESTAMP with its own clock can be aligned with this trace
        trace.instant("GPU", "TIMESTAMP is 0", us=clock.origin * 1e6, hz=clock.timestamp_hz)
        chance = random.Random(seed)  # noqa: S311
        self.chip = Chip(
            generation,
            params,
            reporter,
            trace,
            loop,
            chance,
            clock,
            gpu,
            job,
            mmu_irq,
            mmu,
            misbehaviour,
            self._raise_fault,
        )
        self.mcu = self.mcu_type(self.chip)
        WrongInterrupts(self.irqs, misbehaviour, loop, lambda: self.mcu.status == McuStatus.ENABLED)
        self.chip.mmu.spaces[0].flushed = self.mcu.clean_cache
        self._power = generation.power(
            Domains(generation.cores, self.chip.powered, self._power_switched, loop, gpu, trace, misbehaviour)
        )
        self._registers = RegisterFile(reporter)
        self._reads, self._writes = self._registers.reads, self._registers.writes
        self._add_registers()

    # --- accesses

    def read(self, offset: int) -> int:
        """Read the register at `offset`. An offset without a register is reported and reads 0."""
        if self._clock_stopped:
            self._unclocked(f"read of {self._registers.name(offset)}")
        handler = self._reads.get(offset)
        return handler() if handler is not None else self._registers.unknown_read(offset)

    def write(self, offset: int, value: int) -> None:
        """Write the register at `offset`. A write to a missing or read-only register is reported."""
        if self._clock_stopped:
            self._unclocked(f"write of 0x{value:x} to {self._registers.name(offset)}")
        handler = self._writes.get(offset)
        if handler is not None:
            handler(value)
        else:
            self._registers.bad_write(offset, value)

    def reset(self) -> None:
        """The PCI function was reset: return to the power-on state."""
        self._hardware_reset()
        for register in self.generation.registers:
            if register.kind is RegisterKind.STORAGE:
                self._registers.store(register.offset, register.reset)
        self.coherency.reset()
        self.chip.latest_flush = 1
        for irq in self.irqs:
            irq.write_mask(0)
            irq.drop(LOW)

    def memory_changed(self) -> None:
        """Guest RAM was mapped or unmapped: drop all cached translations."""
        self.chip.mmu.forget()
        self.mcu.memory.forget()

    def pci_command(self, value: int) -> None:
        """The command register of the PCI function changed."""
        if self.bus.command(value):
            self.memory_changed()

    def clock(self, state: int) -> None:
        """The guest's clock driver started or stopped the clock. Without a clock driver the clock always runs."""
        stopped = state == CLOCK_STOPPED
        if stopped and not self._clock_stopped and self.mcu.status == McuStatus.ENABLED:
            self._reporter.misuse("MCU", "the clock was stopped while the MCU ran")
        self._clock_stopped = stopped

    def register_name(self, offset: int) -> str:
        """The register at `offset` in words: `GPU_CMD`, `AS2_COMMAND`."""
        name = self._registers.name(offset)
        spaces = self.generation.spaces
        for space in self.chip.mmu.spaces:
            if any(spaces.offset(space.index, register.offset) == offset for register in spaces.registers):
                return f"AS{space.index}_{name}"
        return name

    def mark(self, mark: int, *, begin: bool) -> None:
        """An iteration, called `mark` (`pci.mark_of`), begins or ends in the guest."""
        self._trace.instant("GPU", f"iteration {mark:08x} {'begins' if begin else 'ends'}")

    def _unclocked(self, access: str) -> None:
        """On an SoC the bus would not answer: SError or a hung CPU. Here the access is reported and carried out."""
        self._reporter.misuse(access, f"{access} while the clock stood")

    def failed(self, error: Exception) -> bool:
        """Carry out `error` if it is modelled behaviour of this GPU's MCU. False: of another one's, or it is a bug of
        the model."""
        if isinstance(error, McuMemoryError) and error.memory is self.mcu.memory:
            self.mcu.die(str(error))
        elif isinstance(error, McuHangError) and error.mcu is self.mcu:
            self.mcu.hang()
        else:
            return False
        return True

    # --- GPU control

    def _command(self, value: int) -> None:
        kind, payload = COMMAND_TYPE.of(value), COMMAND_PAYLOAD.of(value)
        if kind == GpuCommand.RESET and payload in (GpuCommand.PAYLOAD_SOFT, GpuCommand.PAYLOAD_HARD):
            self._trace.instant("GPU", "reset")
            self._reporter.counts["resets"] += 1
            survives = self._misbehaviour.strikes("mcu-survives-reset") is not None
            if rule := self._misbehaviour.strikes("reset-early"):
                self._loop.call_later(rule.seconds, partial(self._hardware_reset, mcu_survives=survives))
            else:
                self._hardware_reset(mcu_survives=survives)
            self._raise_later("reset", GpuIrq.RESET_COMPLETED)
        elif kind == GpuCommand.FLUSH:
            if self._trace.on:
                self._trace.instant("GPU", f"flush 0x{payload:x}")
            self.mcu.clean_cache()
            if payload & GpuCommand.FLUSH_INVALIDATE == GpuCommand.FLUSH_INVALIDATE:
                self.chip.flush_caches()
            elif payload & GpuCommand.FLUSH_L2_CLEAN:
                self.chip.mmu.cleaned()
            self._raise_later("flush", GpuIrq.CLEAN_CACHES_COMPLETED)
        elif kind != GpuCommand.NOP:
            self._reporter.unmodelled(f"GPU_CMD {kind}", f"GPU_CMD 0x{value:x}")

    def _hardware_reset(self, *, mcu_survives: bool = False) -> None:
        """GPU_INT_MASK survives: the driver waits for the interrupt and does not write the mask again."""
        self.mcu.reset(survives=mcu_survives)
        self.chip.mmu.reset()
        for core in self.chip.powered:
            self.chip.powered[core] = 0
        for irq in (self.chip.job_irq, self.chip.mmu_irq):
            irq.drop(LOW)

    def _bus_fault(self, pa: int) -> None:
        """An access reached a physical address without memory. The first fault stays latched until it is cleared."""
        self._raise_fault(GPU_BUS_FAULT, pa)

    def _raise_fault(self, exception: int, pa: int) -> None:
        if not self.chip.gpu_irq.raw & GpuIrq.FAULT:
            self._fault_status, self._fault_address = exception, pa
            self.chip.gpu_irq.set(GpuIrq.FAULT)

    def _raise_later(self, what: str, bits: int) -> None:
        """Raise the completion interrupt `bits` of `what` (reset or flush) after its delay."""
        if self._misbehaviour.strikes(f"{what}-lost"):
            return
        delay = self.chip.params.number(f"{what}.delay_ms") / 1000
        if rule := self._misbehaviour.strikes(f"{what}-late"):
            delay += rule.seconds
        if delay:
            self._loop.call_later(delay, partial(self.chip.gpu_irq.set, bits))
        else:
            self.chip.gpu_irq.set(bits)

    def _power_switched(self, core: str) -> None:
        if core == "L2":
            if self.chip.powered[core]:
                self.coherency.l2_on()
            else:
                self.chip.mmu.cleaned()
            self.mcu.l2_switched()

    def _watch_irq(self, name: str, level: bool) -> None:
        if level:
            self._trace.begin(f"IRQ {name}", "pending")
        else:
            self._trace.end(f"IRQ {name}")

    # --- the register table

    def _add_registers(self) -> None:
        generation, spaces = self.generation, self.generation.spaces
        reads, writes = self._handlers()
        for register in generation.registers:
            self._registers.add(register, register.offset, reads.get(register.name), writes.get(register.name))
        for space in self.chip.mmu.spaces:
            space_reads, space_writes = self._space_handlers(space)
            for register in spaces.registers:
                self._registers.add(
                    register,
                    spaces.offset(space.index, register.offset),
                    space_reads.get(register.name),
                    space_writes.get(register.name),
                )
        for i in range(generation.doorbell_count):
            offset = generation.doorbells.offset(i)
            bell = Register(offset, f"DOORBELL_{i}", RegisterKind.WRITE, 0, "", generation.doorbells.fields)
            self._registers.add(bell, offset, None, partial(self._ring, i))

    def _handlers(self) -> tuple[dict[str, Read], dict[str, Write]]:
        chip, mcu, coherency = self.chip, self.mcu, self.coherency
        clock = chip.clock
        reads: dict[str, Read] = {
            "GPU_FAULT_STATUS": lambda: self._fault_status,
            "GPU_FAULT_ADDR_LO": lambda: self._fault_address & LOW,
            "GPU_FAULT_ADDR_HI": lambda: self._fault_address >> 32,
            "CYCLE_COUNT_LO": lambda: clock.cycles() & LOW,
            "CYCLE_COUNT_HI": lambda: clock.cycles() >> 32 & LOW,
            "TIMESTAMP_LO": lambda: clock.timestamp() & LOW,
            "TIMESTAMP_HI": lambda: clock.timestamp() >> 32 & LOW,
            "COHERENCY_FEATURES": coherency.features,
            "COHERENCY_PROTOCOL": lambda: coherency.protocol,
            "LATEST_FLUSH": lambda: chip.latest_flush,
            "MCU_CONTROL": lambda: mcu.control,
            "MCU_STATUS": lambda: mcu.status,
            **self._power.reads,
        }
        writes: dict[str, Write] = {
            "GPU_CMD": self._command,
            "COHERENCY_PROTOCOL": coherency.choose,
            "MCU_CONTROL": mcu.write_control,
            **self._power.writes,
        }
        for irq in self.irqs:
            self._irq_handlers(irq, reads, writes)
        return reads, writes

    @staticmethod
    def _irq_handlers(irq: IrqBlock, reads: dict[str, Read], writes: dict[str, Write]) -> None:
        name = irq.name.upper()
        reads[f"{name}_INT_RAWSTAT"] = lambda: irq.raw
        reads[f"{name}_INT_MASK"] = lambda: irq.mask
        reads[f"{name}_INT_STAT"] = lambda: irq.raw & irq.mask
        writes[f"{name}_INT_CLEAR"] = irq.write_clear
        writes[f"{name}_INT_MASK"] = irq.write_mask

    @staticmethod
    def _space_handlers(space: AddressSpace) -> tuple[dict[str, Read], dict[str, Write]]:
        reads: dict[str, Read] = {
            "FAULTSTATUS": lambda: space.fault_status,
            "STATUS": lambda: space.status,
            "FAULTADDRESS_LO": lambda: space.fault_address & LOW,
            "FAULTADDRESS_HI": lambda: space.fault_address >> 32,
        }
        writes: dict[str, Write] = {"COMMAND": space.command}
        for name in ("TRANSTAB", "MEMATTR", "LOCKADDR", "TRANSCFG"):
            attribute = name.lower()
            reads[f"{name}_LO"] = partial(_low, space, attribute)
            reads[f"{name}_HI"] = partial(_high, space, attribute)
            writes[f"{name}_LO"] = partial(_set_low, space, attribute)
            writes[f"{name}_HI"] = partial(_set_high, space, attribute)
        return reads, writes

    def _ring(self, doorbell: int, _value: int) -> None:
        self.mcu.ring(doorbell)


def _low(space: AddressSpace, attribute: str) -> int:
    value: int = getattr(space, attribute)
    return value & LOW


def _high(space: AddressSpace, attribute: str) -> int:
    value: int = getattr(space, attribute)
    return value >> 32


def _set_low(space: AddressSpace, attribute: str, value: int) -> None:
    setattr(space, attribute, getattr(space, attribute) & HIGH | value)


def _set_high(space: AddressSpace, attribute: str, value: int) -> None:
    setattr(space, attribute, getattr(space, attribute) & LOW | value << 32)
