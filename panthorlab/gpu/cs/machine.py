# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of one command stream, and what instructions do to it: frames, scoreboards, work, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from panthorlab.gpu.cs.heap import CONTEXT_SIZE, GroupHeaps, HeapContext
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import FirmwarePort, Memory, Requester, TimerHandle
from panthorlab.gpu.cs.state import MAX_DEFERRED, MAX_JOBS, BlockedReason, CallFrame, Oom

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
CS_CONFIG_FAULT, CS_BUS_FAULT, CS_INSTR_INVALID = 0x40, 0x48, 0x49
CS_CALL_STACK_OVERFLOW, CS_INHERIT_FAULT, OOM = 0x4A, 0x4B, 0x60

Simple = Callable[[list[int]], None]
"""An instruction that only changes registers: called with the register file."""
Tail = Callable[["StreamMachine", int], int]
"""Any other instruction, or a run of such: called with the machine, whose PC and instructions left are those of the
first, and its address. Returns the next address; the instructions left are those before the one executed last."""
Effect = Callable[["StreamMachine", int, int], None]
"""The effect of a deferrable instruction, called with the operands read at issue."""
Operands = Callable[[list[int]], tuple[int, int]]
"""Reads the operands of a deferrable instruction from the registers."""
Block = tuple[tuple[Simple, ...], int, Tail | None]
"""Simple instructions, their number, and the instruction that ends the run (None: the code decoded so far ends
there)."""


class CodeWindow:
    """Fetched code, up to the end of its page or buffer: its words, and the blocks decoded so far, by the distance of
    their first byte from its beginning. Depends on the words alone; streams and slices share it."""

    __slots__ = ("blocks", "entered", "words")

    def __init__(self, words: tuple[int, ...]) -> None:
        self.words = words
        self.blocks: dict[int, Block] = {}
        self.entered: dict[int, int] = {}
        """How often each block was looked up."""


class Hold(Exception):  # noqa: N818 - not an error
    """The instruction cannot be executed yet; `StreamMachine.blocked` has the reason."""


class CsFaultError(Exception):
    """CS_FAULT. `in_stream`: caused by the instruction at PC, else by an asynchronous one."""

    def __init__(self, exception_type: int, info: int, *, in_stream: bool = True) -> None:
        super().__init__(f"CS_FAULT 0x{exception_type:x} info 0x{info:x}")
        self.exception_type, self.info, self.in_stream = exception_type, info, in_stream


class CsFatalError(Exception):
    """CS_FATAL."""

    def __init__(self, exception_type: int, info: int) -> None:
        super().__init__(f"CS_FATAL 0x{exception_type:x} info 0x{info:x}")
        self.exception_type, self.info = exception_type, info


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why the stream waits, as the status words show it."""

    reason: BlockedReason = BlockedReason.UNBLOCKED
    wait: int = 0
    sync_ptr: int = 0
    sync_value: int = 0


@dataclass(slots=True)
class EndpointJob:
    """Endpoint work in flight."""

    slot: int
    progress: bool
    deadline: float
    chunks: int = 0  # heap chunks still to be taken
    tiler_context: int = 0
    chunk: int = 0  # chunk taken from the free list but not linked yet; 0: none
    timed: bool = False  # its simulated time is not over
    timer: TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    word: int
    wait: int
    signal: int
    effect: Effect
    a: int
    b: int


UNBLOCKED = Blocked()
_NONE: dict[int, Block] = {}


class StreamMachine:
    """Registers, frames, scoreboards, asynchronous work and the error state of one stream. Instructions act on it."""

    __slots__ = (
        "blocked",
        "blocks",
        "busy",
        "clock",
        "code_pages",
        "deferred",
        "effects",
        "end",
        "endpoint_slot",
        "error",
        "firmware",
        "frames",
        "handler",
        "handler_depth",
        "heap",
        "heaps",
        "isa",
        "jobs",
        "left",
        "low",
        "memory",
        "oom",
        "oom_answer",
        "oom_mark",
        "other_slot",
        "params",
        "pc",
        "progress",
        "regs",
        "resources",
        "skipping",
        "slots",
        "start",
        "windows",
    )

    def __init__(
        self,
        isa: InstructionSet,
        memory: Memory,
        firmware: FirmwarePort,
        params: CsParams,
        heaps: GroupHeaps,
        clock: Callable[[], float],
    ) -> None:
        self.isa = isa
        self.memory, self.firmware, self.params, self.heaps, self.clock = memory, firmware, params, heaps, clock
        self.regs = [0] * isa.registers
        self.pc = self.start = self.end = 0
        self.frames: list[CallFrame] = []
        self.slots = [0] * isa.scoreboards
        self.busy = 0  # bit mask of the non-zero scoreboard slots
        self.endpoint_slot, self.other_slot = params.initial_endpoint_slot, params.initial_other_slot
        self.resources = self.progress = self.error = 0
        self.skipping = False
        self.handler = (0, 0)  # exception handler: address, bytes
        self.handler_depth = 0  # number of frames while the exception handler runs, else 0
        self.heap: HeapContext | None = None
        self.jobs: list[EndpointJob] = []
        self.deferred: list[Deferred] = []
        self.oom = Oom.NONE
        self.oom_answer: tuple[int, int] | None = None
        self.oom_mark = 0  # heap.frag_end when memory was refused
        self.blocked = UNBLOCKED
        self.effects = 0  # count of effects visible outside the stream: a loop without any only spins
        self.left = 0  # instructions left in the budget
        self.forget_code()

    # --- code

    def forget_code(self) -> None:
        """Drop all fetched code: memory may have changed."""
        # by page and end of the buffer: a window and its address
        self.windows: dict[tuple[int, int], tuple[int, CodeWindow]] = {}
        self.code_pages: set[int] = set()
        self.blocks, self.low = _NONE, 0  # of the window that is executed: its blocks, its address

    def enter(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.blocks, self.low = _NONE, 0

    def call(self, start: int, length: int, back: int) -> int:
        """Enter a buffer; after its end, execution continues at `back`. Returns the new PC."""
        if len(self.frames) + 1 >= self.isa.call_depth:
            raise CsFatalError(CS_CALL_STACK_OVERFLOW, self.pc)
        self.frames.append(CallFrame(back, self.start, self.end, self.pc))
        self.enter(start, start + length)
        return start

    def leave(self) -> None:
        """At the end of a called buffer: return to the caller."""
        frame = self.frames.pop()
        self.pc = frame.pc
        self.enter(frame.start, frame.end)
        if len(self.frames) < self.handler_depth:
            self.handler_depth = 0
            if self.heap is not None and len(self.heap.users) > 1:
                self.firmware.wake_group()  # other streams wait for chunks that the handler freed
            self.go_on(self.pc)

    # --- exceptions

    @property
    def lacks_chunks(self) -> bool:
        return self.oom is Oom.PENDING

    def handler_called(self) -> None:
        if self.oom is Oom.PENDING:
            self.oom = Oom.HANDLER

    def take_exception(self) -> bool:
        """Run the exception handler before the instruction at PC. It may use one frame more than calls may."""
        address, length = self.handler
        if self.heap is None or not length or self.handler_depth or self.skipping:
            return False
        for user in self.heap.users:
            user.handler_called()
        self.frames.append(CallFrame(self.pc, self.start, self.end, self.pc))
        self.handler_depth = len(self.frames)
        self.pc = address
        self.enter(address, address + length)
        self.firmware.wake()
        return True

    def go_on(self, pc: int) -> int:
        """Continue at `pc`, after the exception handler if an exception is pending. Returns the new PC."""
        self.pc = pc
        if self.heap is not None and self.heap.pending:
            self.take_exception()
        return self.pc

    # --- memory

    def pair(self, register: int) -> int:
        return self.regs[register] | self.regs[register + 1] << 32

    def store(self, va: int, data: bytes, requester: Requester = Requester.LSU) -> None:
        self.memory.write(va, data, requester)
        self.effects += 1
        pages, end = self.code_pages, va + len(data)
        if pages and (va >> 12 in pages or end - 1 >> 12 in pages) and self._has_fetched(va, end):
            self.forget_code()

    def _has_fetched(self, start: int, end: int) -> bool:
        """Whether fetched code is among these bytes: programs keep data behind their code, in the same page."""
        for low, window in self.windows.values():  # noqa: SIM110 - a generator takes longer than the store
            if low < end and start < low + 8 * len(window.words):
                return True
        return False

    # --- scoreboards and asynchronous work

    def take(self, slot: int) -> None:
        self.slots[slot] += 1
        self.busy |= 1 << slot

    def give(self, slot: int) -> None:
        self.slots[slot] -= 1
        if not self.slots[slot]:
            self.busy &= ~(1 << slot)

    def hold(self, reason: BlockedReason, wait: int = 0, sync_ptr: int = 0, sync_value: int = 0) -> Hold:
        self.blocked = Blocked(reason, wait, sync_ptr, sync_value)
        return Hold()

    def defer(self, word: int, wait: int, signal: int, effect: Effect, a: int, b: int) -> None:
        """Execute `effect` when the slots of `wait` are zero; slot `signal` is incremented at once."""
        if len(self.deferred) >= MAX_DEFERRED:
            raise self.hold(BlockedReason.DEFERRED)
        self.take(signal)
        self.deferred.append(Deferred(word, wait, signal, effect, a, b))

    def launch(self, seconds: float, chunks: int, progress: bool) -> None:
        """Start an endpoint job. A job that needs neither time nor memory completes at once."""
        if not seconds and not chunks:
            self.effects += 1
            self.advance_progress(progress)
            return
        if len(self.jobs) >= MAX_JOBS:
            raise self.hold(BlockedReason.RESOURCE)
        self.effects += 1
        job = EndpointJob(self.endpoint_slot, progress, self.clock() + seconds, chunks, self.pair(40) if chunks else 0)
        self.take(job.slot)
        self.jobs.append(job)
        self.time(job, seconds)

    def time(self, job: EndpointJob, seconds: float) -> None:
        if seconds <= 0:
            return
        job.timed = True

        def over() -> None:
            job.timed, job.timer = False, None
            if not job.chunks:  # completes without memory accesses, so also while no slice may run
                self.complete(job)
            self.firmware.wake()

        job.timer = self.firmware.call_later(seconds, over)

    def complete(self, job: EndpointJob) -> None:
        """The job has finished its work."""
        self.drop(job)
        self.advance_progress(job.progress)

    def drop(self, job: EndpointJob) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        self.jobs.remove(job)
        self.give(job.slot)

    def advance_progress(self, progress: bool) -> None:
        if progress:
            self.progress = (self.progress + 1) & M64
            self.effects += 1
            self.firmware.wake_group()

    def abandon(self) -> None:
        """Drop asynchronous work: cancel its timers, make no further memory access."""
        for job in self.jobs:
            if job.timer is not None:
                job.timer.cancel()
        self.jobs.clear()
        self.deferred.clear()
        self.oom, self.oom_answer, self.handler = Oom.NONE, None, (0, 0)
        self.slots = [0] * self.isa.scoreboards
        self.busy = 0

    # --- the heap

    def bind_heap(self, va: int) -> None:
        """HEAP_SET: the previous context is written back, the new one read (0: none)."""
        old = self.heap
        if old is not None and old.address == va:
            return
        data = self.memory.read(va, CONTEXT_SIZE, Requester.MCU) if va else b""
        if old is not None:
            self.memory.write(old.address, old.to_bytes(), Requester.MCU)
            self.heaps.release(old, self)
        self.heap = self.heaps.bind(va, data, self) if va else None
        self.effects += 1
