# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU on a bench: guest RAM, page tables and the driver's side of the interfaces, without QEMU."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from panthorlab.gpu.cs import codec
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.layout import CsgIn, CsgOut, CsIn, CsOut, GlbIn, GlbOut
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.params import Params
from panthorlab.gpu.trace import NoTrace, Trace
from tests.unit.gpu.generations import every_generation

RAM_BASE, RAM_SIZE = 0x4000_0000, 0x40_0000
RW_PAGE = 0x60000000000E43
STREAM_VA, RESULT_VA = 0x100_0000, 0x100_1000
SYNC_VA, RING_VA, HEAP_VA = 0x8000_0000_0000, 0x8000_0000_1000, 0x8000_0000_3000
RING_IFACE = 0x0408_0000  # MCU VA of the ring pointers, two pages per queue
SUSPEND_BUF = 0x0410_0000


@dataclass
class Space:
    """Page tables of one address space, edited like the driver does: in RAM, without telling anybody."""

    bench: Bench
    root: int
    pages: dict[int, int] = field(default_factory=dict)

    def map(self, va: int, flags: int = RW_PAGE) -> int:
        """Map a fresh page at `va`; returns its physical address."""
        pa = self.pages.get(va) or self.bench.page()
        self.pages[va] = pa
        self.entry(va, pa | flags)
        return pa

    def unmap(self, va: int) -> None:
        self.entry(va, 0)

    def entry(self, va: int, value: int, level: int = 3) -> None:
        table = self.root
        for upper in range(level):
            at = table + (va >> 39 - 9 * upper & 511) * 8
            if not self.bench.quad(at):
                self.bench.put_quad(at, self.bench.page() | 3)
            table = self.bench.quad(at) & 0xFFFFFFFFF000
        self.bench.put_quad(table + (va >> 39 - 9 * level & 511) * 8, value)

    def pa(self, va: int) -> int:
        return self.pages[va & ~0xFFF] + (va & 0xFFF)


class Time:
    """Virtual: it stands still while the model works, and jumps to what is due next."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Everything between the registers and guest RAM, and the driver's habits as methods."""

    def __init__(self, generation: Generation, *assignments: str, trace: Trace | None = None) -> None:
        self.generation, self.layout = generation, generation.layout
        self._register = {register.name: register.offset for register in generation.registers}
        self._space_register = {register.name: register.offset for register in generation.spaces.registers}
        self.events = io.StringIO()
        self.errors: list[Exception] = []
        self.reporter = Reporter(self.events, io.StringIO())
        self.time = Time()
        self.loop = HostLoop(self._on_error, lambda _late: None, now=self.time)
        self.gpu = GpuDevice(generation, Params.parse(assignments), self.reporter, trace or NoTrace(), self.loop)
        self.fd = os.memfd_create("ram")
        os.truncate(self.fd, RAM_SIZE)
        self.gpu.ram.map(RAM_BASE, self.fd, 0, RAM_SIZE, writable=True)
        self._next = RAM_BASE
        self.mcu = Space(self, self.page())
        self.user = Space(self, self.page())

    def _on_error(self, error: Exception) -> None:
        if not self.gpu.failed(error):
            self.errors.append(error)

    def close(self) -> None:
        """May be called twice."""
        if self.fd < 0:
            return
        self.gpu.mcu.stop()
        self.gpu.memory_changed()
        self.gpu.ram.clear()
        os.close(self.fd)
        self.fd = -1

    # --- RAM

    def page(self) -> int:
        self._next += 0x1000
        assert self._next < RAM_BASE + RAM_SIZE
        return self._next

    def quad(self, pa: int) -> int:
        return int.from_bytes(os.pread(self.fd, 8, pa - RAM_BASE), "little")

    def put_quad(self, pa: int, value: int) -> None:
        os.pwrite(self.fd, struct.pack("<Q", value), pa - RAM_BASE)

    def word(self, pa: int) -> int:
        return int.from_bytes(os.pread(self.fd, 4, pa - RAM_BASE), "little")

    def put_word(self, pa: int, value: int) -> None:
        os.pwrite(self.fd, struct.pack("<I", value), pa - RAM_BASE)

    def iface(self, va: int) -> int:
        """u32 of the firmware interface."""
        return self.word(self.mcu.pa(va))

    def put_iface(self, va: int, value: int) -> None:
        self.put_word(self.mcu.pa(va), value)

    def put_iface64(self, va: int, value: int) -> None:
        self.put_quad(self.mcu.pa(va), value)

    # --- registers

    def read(self, name: str) -> int:
        return self.gpu.read(self._register[name])

    def write(self, name: str, value: int) -> None:
        self.gpu.write(self._register[name], value)

    def as_write(self, space: int, name: str, value: int) -> None:
        self.gpu.write(self.generation.spaces.offset(space, self._space_register[name]), value)

    def as_read(self, space: int, name: str) -> int:
        return self.gpu.read(self.generation.spaces.offset(space, self._space_register[name]))

    def enable_space(self, index: int, space: Space) -> None:
        self.as_write(index, "TRANSTAB_LO", space.root)
        self.as_write(index, "TRANSCFG_LO", 0x420001C6)
        self.as_write(index, "COMMAND", 1)

    def disable_space(self, index: int) -> None:
        self.as_write(index, "TRANSTAB_LO", 0)
        self.as_write(index, "TRANSCFG_LO", 1)
        self.as_write(index, "COMMAND", 1)

    def lock(self, index: int, va: int, bits: int = 15) -> None:
        self.as_write(index, "LOCKADDR_LO", va & 0xFFFFFFC0 | bits - 1)
        self.as_write(index, "LOCKADDR_HI", va >> 32)
        self.as_write(index, "COMMAND", 2)

    # --- time

    def pump(self, until: Callable[[], bool] | None = None, seconds: float = 2.0) -> None:
        """Run the model until the condition holds; fails when it does not within `seconds`. None: run what is due."""
        end = self.time.now + seconds
        while until is None or not until():
            due = self.loop.due_in()
            if until is None and due != 0:
                break
            assert due is not None, "the model has nothing left to do"
            self.time.now += due
            assert self.time.now <= end, "the model did not get there"
            self.loop.step(0)
        assert self.errors == []

    def elapse(self, seconds: float) -> None:
        """Run the model for so long."""
        end = self.time.now + seconds
        while (due := self.loop.due_in()) is not None and self.time.now + due <= end:
            self.time.now += due
            self.loop.step(0)
        self.time.now = end
        assert self.errors == []

    def kinds(self) -> list[str]:
        return [json.loads(line)["kind"] for line in self.events.getvalue().splitlines()]

    def texts(self, kind: str) -> list[str]:
        events = map(json.loads, self.events.getvalue().splitlines())
        return [event["text"] for event in events if event["kind"] == kind]

    # --- the driver

    def power_up(self) -> None:
        """What panthor does until the MCU runs."""
        self.write("GPU_INT_MASK", 0x20103)
        self.write("L2_PWRON_LO", 1)
        self.enable_space(0, self.mcu)
        self.write("JOB_INT_CLEAR", 0xFFFFFFFF)
        self.write("JOB_INT_MASK", 0xFFFFFFFF)
        self.write("MMU_INT_MASK", 0xFFFF)
        self.write("MCU_CONTROL", 2)
        self.pump(lambda: bool(self.read("JOB_INT_RAWSTAT") & 1 << 31))
        self.write("JOB_INT_CLEAR", 1 << 31)

    def boot(self) -> None:
        """Firmware memory, then `power_up`, then the global init hand-shake."""
        for page in range(self.layout.shared_size // 0x1000):
            self.mcu.map(self.layout.shared + page * 0x1000)
        for page in range(16):
            self.mcu.map(RING_IFACE + page * 0x1000)
            self.mcu.map(SUSPEND_BUF + page * 0x1000)
        self.reload()
        self.power_up()
        self.put_iface(self.layout.glb_input + GlbIn.ACK_IRQ_MASK, 0x0400050E)
        self.put_iface(self.layout.glb_input + GlbIn.PROGRESS_TIMER, 0x271000)
        self.put_iface(self.layout.glb_input + GlbIn.IDLE_TIMER, 49)
        self.put_iface64(self.layout.glb_input + GlbIn.CORE_EN_MASK, self.generation.cores["SHADER"])
        self.put_iface(self.layout.glb_input + GlbIn.REQ, 0x40E)
        self.ring_global()
        assert self.iface(self.layout.glb_output + GlbOut.ACK) & 0x7FE == 0x40E

    def reload(self) -> None:
        """What loading the firmware's section anew does for the firmware: it begins a new life."""
        self.gpu.mcu.memory.forget()
        self.put_iface(self.layout.life, 0)

    def ring_global(self, groups: int = 0) -> None:
        """Doorbell 0, for the groups in the mask."""
        ack = self.iface(self.layout.glb_output + GlbOut.DOORBELL_ACK)
        self.put_iface(self.layout.glb_input + GlbIn.DOORBELL_REQ, ack ^ groups)
        self.ring(0)
        self.pump()

    def ring(self, doorbell: int) -> None:
        """Write a doorbell register: 0 is the firmware's, 1 that of queues on slot 0."""
        self.gpu.write(self.generation.doorbells.offset(doorbell), 1)

    def fault(self, requester: Requester, rest: int) -> int:
        """AS_FAULTSTATUS of an access by `requester`."""
        return self.generation.spaces.source_ids[requester] << 16 | rest

    def word_of(self, word: int) -> int:
        """What `word` of a G610 is in this GPU's instruction set; what is no instruction stays as it is."""
        try:
            instruction = codec.decode(G610.instructions, word)
        except codec.BadInstructionError:
            return word
        return codec.encode(self.generation.instructions, instruction.spec.mnemonic, **instruction.values)

    def make_user_memory(self) -> None:
        for va in (STREAM_VA, RESULT_VA, HEAP_VA, HEAP_VA + 0x1000, RING_VA, SYNC_VA):
            self.user.map(va)
        self.enable_space(1, self.user)

    def put_stream(self, *words: int) -> None:
        for i, word in enumerate(words):
            self.put_quad(self.user.pa(STREAM_VA) + 8 * i, self.word_of(word))

    def put_ring(self, *words: int, at: int = 0, slot: int = 0) -> None:
        """Instructions into the ring; INSERT moves behind them."""
        for i, word in enumerate(words):
            self.put_quad(self.user.pa(self.ring_va(slot)) + (at + 8 * i) % 0x1000, self.word_of(word))
        self.put_iface64(RING_IFACE + 0x2000 * slot, at + 8 * len(words))

    def ring_va(self, slot: int) -> int:
        """Where the group on this slot has its ring."""
        return RING_VA + 0x10000 * slot

    def prepare_group(self, streams: int = 1, space: int = 1, slot: int = 0) -> None:
        """The input words of a CSG and its streams, as panthor writes them before START."""
        for stream in range(streams):
            at, pointers = self.layout.cs_input(slot, stream), RING_IFACE + (slot + stream) * 0x2000
            self.put_iface64(at + CsIn.RINGBUF_BASE, self.ring_va(slot))
            self.put_iface(at + CsIn.RINGBUF_SIZE, 0x1000)
            self.put_iface64(at + CsIn.RINGBUF_INPUT, pointers)
            self.put_iface64(at + CsIn.RINGBUF_OUTPUT, pointers + 0x1000)
            self.put_iface(at + CsIn.CONFIG, slot + 1 << 8)
            self.put_iface(at + CsIn.ACK_IRQ_MASK, 0xFFFFFFFF)
            request = self.iface(at + CsIn.REQ) & ~7
            self.put_iface(at + CsIn.REQ, request | 1 | 1 << 8 | 1 << 10)
        self.put_iface(self.layout.csg_input(slot) + CsgIn.CONFIG, space)
        self.put_iface64(self.layout.csg_input(slot) + CsgIn.SUSPEND_BUF, SUSPEND_BUF)
        self.put_iface(self.layout.csg_input(slot) + CsgIn.ACK_IRQ_MASK, 0xFFFFFFFF)

    def request(self, state: int, toggles: int = 0, slot: int = 0) -> None:
        """CSG_REQ.STATE and toggle bits of a CSG, and the doorbell."""
        at_in, at_out = self.layout.csg_input(slot), self.layout.csg_output(slot)
        request = self.iface(at_in + CsgIn.REQ)
        ack = self.iface(at_out + CsgOut.ACK)
        request = request & ~(7 | toggles) | state | ~ack & toggles
        self.put_iface(at_in + CsgIn.REQ, request)
        self.put_iface(at_in + CsgIn.DOORBELL_REQ, self.iface(at_out + CsgOut.DOORBELL_ACK) ^ 1)
        self.ring_global(1 << slot)

    def acknowledged(self, state: int, slot: int = 0) -> bool:
        return self.iface(self.layout.csg_output(slot) + CsgOut.ACK) & 7 == state

    def start(self, state: int = 1, slot: int = 0) -> None:
        """Put the group on a slot: START or RESUME."""
        self.prepare_group(slot=slot)
        self.request(state, toggles=0x10, slot=slot)
        assert self.acknowledged(state, slot)

    def code_va(self, slot: int) -> int:
        """Where `start_calls` puts the code of the group on this slot."""
        return STREAM_VA + 0x10000 * slot

    def start_calls(self, codes: Sequence[Sequence[int]]) -> None:
        """Start a group on a slot for each of `codes`; then, all at once, they have it called in their rings."""
        for slot, code in enumerate(codes):
            page = self.user.map(self.code_va(slot))
            self.user.map(self.ring_va(slot))
            for n, word in enumerate(code):
                self.put_quad(page + 8 * n, self.word_of(word))
            self.start(slot=slot)
        for slot, code in enumerate(codes):
            self.put_ring(
                codec.encode(G610.instructions, "MOVE", dst=92, imm=self.code_va(slot)),
                codec.encode(G610.instructions, "MOVE32", dst=94, imm=8 * len(code)),
                codec.encode(G610.instructions, "CALL", addr=92, length=94),
                slot=slot,
            )
            self.ring(1 + slot)

    def take_events(self) -> int:
        """CSG events of slot 0 that are pending; then they are taken, as the driver's handler does."""
        at_in, at_out = self.layout.csg_input(0), self.layout.csg_output(0)
        request, ack = self.iface(at_in + CsgIn.REQ), self.iface(at_out + CsgOut.ACK)
        events = (request ^ ack) & 0xF0000000
        self.put_iface(at_in + CsgIn.REQ, request ^ events)
        self.write("JOB_INT_CLEAR", 1)
        return events

    def take_stream_events(self) -> int:
        """CS events of stream 0; then they are acknowledged and the CS doorbell is rung."""
        at_in, at_out = self.layout.cs_input(0, 0), self.layout.cs_output(0, 0)
        request, ack = self.iface(at_in + CsIn.REQ), self.iface(at_out + CsOut.ACK)
        events = (request ^ ack) & 0xCC000000
        group_in, group_out = self.layout.csg_input(0), self.layout.csg_output(0)
        self.put_iface(group_in + CsgIn.CS_IRQ_ACK, self.iface(group_out + CsgOut.CS_IRQ_REQ))
        self.put_iface(at_in + CsIn.REQ, request ^ events)
        self.request(self.iface(group_in + CsgIn.REQ) & 7)
        return events


MakeBench = Callable[..., Bench]


@pytest.fixture(params=every_generation(), ids=lambda generation: generation.name)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each that is shipped, and each made-up one."""
    found: Generation = request.param
    return found


@pytest.fixture
def make_bench(generation: Generation) -> Iterator[MakeBench]:
    """Benches with parameters, e.g. `make_bench("writeout.delay_ms=0")`."""
    benches: list[Bench] = []

    def make(*assignments: str, trace: Trace | None = None) -> Bench:
        benches.append(Bench(generation, *assignments, trace=trace))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """Powered up, user memory there, no group yet."""
    made = make_bench("writeout.delay_ms=2")
    made.boot()
    made.make_user_memory()
    return made
