# SPDX-License-Identifier: GPL-2.0-or-later
"""A memory and a firmware for running command streams without a GPU: for tests, benchmarks and experiments."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from panthorlab.gpu.cs import codec
from panthorlab.gpu.cs.codec import Instruction, assemble
from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import Access, BusError, MemoryFault, MemoryStall, Requester
from panthorlab.gpu.cs.state import StreamState
from panthorlab.gpu.cs.stream import CommandStream
from panthorlab.gpu.cs.v10 import V10

PAGE = 4096
FETCHER = Fetcher(V10)
_TRANSLATION_FAULT_3 = 0xC3
_PERMISSION_FAULT_3 = 0xCB


def encode(mnemonic: str, **values: int) -> int:
    """A word of the instruction set that most of these tests are about."""
    return codec.encode(V10, mnemonic, **values)


def decode(word: int) -> Instruction:
    return codec.decode(V10, word)


def counting_loop(counter: int, rounds: int) -> list[int]:
    """The loop of IGT's tests of the scheduler: the way out is in the middle, each round stores into a sync object.
    Register 10 must be 0."""
    return [
        encode("MOVE", dst=16, imm=counter),
        encode("MOVE32", dst=2, imm=0),
        encode("MOVE32", dst=4, imm=rounds),
        encode("ADD_IMM32", dst=2, src=2, imm=1),
        encode("SYNC_SET32", addr=16, data=2),
        encode("ADD_IMM32", dst=4, src=4, imm=-1),
        encode("BRANCH", cond=2, value=4, offset=1),
        encode("BRANCH", cond=2, value=10, offset=-5),
    ]


class PagedMemory:
    """Pages at GPU addresses. Unmapped ones fault, `locked` ones stall, all of them fail when `disabled`."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.read_only: set[int] = set()
        self.locked: set[int] = set()
        self.disabled = False
        self.faults: list[MemoryFault] = []
        self.before_access: Callable[[int, int, Requester], None] | None = None  # may raise, as the MMU would

    def map(self, va: int, size: int) -> None:
        for page in range(va // PAGE, (va + size - 1) // PAGE + 1):
            self.pages.setdefault(page, bytearray(PAGE))

    def unmap(self, va: int, size: int) -> None:
        for page in range(va // PAGE, (va + size - 1) // PAGE + 1):
            self.pages.pop(page, None)

    def poke(self, va: int, data: bytes) -> None:
        """Write as the CPU does, mapping what is needed."""
        if data:
            self.map(va, len(data))
        for at, part in _split(va, len(data)):
            self.pages[at // PAGE][at % PAGE : at % PAGE + part] = data[at - va : at - va + part]

    def peek(self, va: int, size: int) -> bytes:
        return b"".join(bytes(self.pages[at // PAGE][at % PAGE : at % PAGE + part]) for at, part in _split(va, size))

    def peek32(self, va: int) -> int:
        return int.from_bytes(self.peek(va, 4), "little")

    def peek64(self, va: int) -> int:
        return int.from_bytes(self.peek(va, 8), "little")

    def read(self, va: int, size: int, requester: Requester) -> bytes:
        at = va % PAGE
        if at + size <= PAGE and not self.locked and not self.disabled and self.before_access is None:
            page = self.pages.get(va // PAGE)
            if page is not None:
                return bytes(page[at : at + size])
        self._check(va, size, requester, Access.READ)
        return self.peek(va, size)

    def write(self, va: int, data: bytes, requester: Requester) -> None:
        self._check(va, len(data), requester, Access.WRITE)
        for at, part in _split(va, len(data)):
            self.pages[at // PAGE][at % PAGE : at % PAGE + part] = data[at - va : at - va + part]

    def _check(self, va: int, size: int, requester: Requester, access: Access) -> None:
        if self.before_access is not None:
            self.before_access(va, size, requester)
        for at, _ in _split(va, size):
            if self.disabled:
                raise BusError(at)
            if at // PAGE in self.locked:
                raise MemoryStall(at)
            if at // PAGE not in self.pages:
                self._fault(MemoryFault(at, _TRANSLATION_FAULT_3, access))
            if access is Access.WRITE and at // PAGE in self.read_only:
                self._fault(MemoryFault(at, _PERMISSION_FAULT_3, access))

    def _fault(self, fault: MemoryFault) -> None:
        self.faults.append(fault)
        raise fault


def _split(va: int, size: int) -> list[tuple[int, int]]:
    """The parts of an access that lie in one page each: (address, size)."""
    parts = []
    while size > 0:
        part = min(size, PAGE - va % PAGE)
        parts.append((va, part))
        va, size = va + part, size - part
    return parts


@dataclass(slots=True)
class _Timer:
    function: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(slots=True)
class RecordingFirmware:
    """Keeps what a stream reports, in order, and a clock that only `advance` moves."""

    events: list[tuple[int | str, ...]] = field(default_factory=list)
    latest_flush: int = 1
    now: float = 0.0
    wakes: int = 0
    counters: dict[int, int] = field(default_factory=dict)
    on_oom: Callable[[], None] | None = None
    _timers: list[tuple[float, int, _Timer]] = field(default_factory=list)
    _serial: int = 0

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass: timers that are due run in their order."""
        self._until(self.now + seconds)

    def advance_to_timer(self) -> None:
        """Let time pass until the next timer is due."""
        live = [when for when, _, timer in self._timers if not timer.cancelled]
        if live:
            self._until(min(live))

    def _until(self, end: float) -> None:
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.function()
        self.now = end

    @property
    def timers(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def call_later(self, seconds: float, function: Callable[[], None]) -> _Timer:
        timer = _Timer(function)
        self._serial += 1
        heapq.heappush(self._timers, (self.now + seconds, self._serial, timer))
        return timer

    def sync_update(self) -> None:
        self.events.append(("sync_update",))

    def wake_group(self) -> None:
        self.events.append(("wake_group",))

    def wake(self) -> None:
        self.wakes += 1

    def raise_fault(self, exception_type: int, data: int, info: int) -> None:
        self.events.append(("fault", exception_type, data, info))

    def raise_fatal(self, exception_type: int, data: int, info: int) -> None:
        self.events.append(("fatal", exception_type, data, info))

    def raise_tiler_oom(self) -> None:
        self.events.append(("oom",))
        if self.on_oom is not None:
            self.on_oom()

    def flush_caches(self) -> None:
        self.events.append(("flush",))
        self.latest_flush = (self.latest_flush + 1) & 0xFFFFFF or 1

    def timestamp(self) -> int:
        return int(self.now * 24_000_000) + 0x1122334455

    def cycle_count(self) -> int:
        return int(self.now * 1_000_000_000) + 0x66778899AA

    def progress(self, queue: int) -> int:
        return self.counters.get(queue, 0)

    def lateness(self, _endpoint: str) -> float:
        return 0.0

    def misbehaves(self, _name: str) -> bool:
        return False

    def unmodelled(self, kind: str, text: str) -> None:
        self.events.append(("unmodelled", kind, text))


class Rig:
    """One stream with a ring, a code buffer and mapped data. `submit` writes jobs as the kernel does (facts 7.1)."""

    RING, SYNC, CODE, DATA = 0x10000, 0x20000, 0x1000000, 0x2000000
    RING_SIZE = 4096

    def __init__(
        self,
        params: CsParams | None = None,
        *,
        memory: PagedMemory | None = None,
        index: int = 0,
        heaps: GroupHeaps | None = None,
        fetcher: Fetcher = FETCHER,
        firmware: RecordingFirmware | None = None,
    ) -> None:
        self.memory = memory or PagedMemory()
        self.firmware = firmware or RecordingFirmware()
        self.params = params or CsParams()
        self.index = index
        self.ring = self.RING + index * 0x1000
        self.sync = self.SYNC + index * 16
        self.heaps, self.fetcher = heaps, fetcher
        self.memory.map(self.ring, self.RING_SIZE)
        self.memory.map(self.SYNC, PAGE)
        self.memory.map(self.DATA, 0x10000)
        self.stream = self.new_stream()
        self.stream.start(self.ring, self.RING_SIZE, 0, 0)

    def new_stream(self) -> CommandStream:
        return CommandStream(
            self.index,
            self.memory,
            self.firmware,
            self.params,
            self.fetcher,
            heaps=self.heaps,
            clock=self.firmware.clock,
        )

    def push(self, *words: int) -> None:
        """Instructions directly into the ring, wrapping as it does."""
        for word in words:
            self.memory.poke(self.ring + self.stream.insert % self.RING_SIZE, assemble([word]))
            self.stream.insert += 8

    def job(self, address: int, size: int) -> None:
        """A job slot of the driver around `size` bytes of code at `address`."""
        self.push(
            encode("MOVE32", dst=94),
            encode("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=94),
            encode("MOVE", dst=92, imm=address),
            encode("MOVE32", dst=94, imm=size),
            encode("WAIT", wait=1),
            encode("CALL", addr=92, length=94),
            encode("MOVE", dst=92, imm=self.sync),
            encode("MOVE", dst=94, imm=1),
            encode("WAIT", wait=0xFF),
            encode("SYNC_ADD64", addr=92, data=94, propagate=1),
            encode("ERROR_BARRIER"),
            *[encode("NOP")] * 5,
        )

    def submit(self, *words: int, at: int | None = None) -> None:
        """A job that executes `words`, placed at `at` (default: CODE + 64 KiB times the queue's index)."""
        address = self.CODE + self.index * 0x10000 if at is None else at
        self.memory.poke(address, assemble(words))
        self.job(address, 8 * len(words))

    def run(self, budget: int = 100_000) -> StreamState:
        return self.stream.run(budget).state

    @property
    def seqno(self) -> int:
        """The queue's sync object: how many jobs have ended."""
        return self.memory.peek64(self.sync)

    @property
    def seqno_status(self) -> int:
        return self.memory.peek32(self.sync + 8)
