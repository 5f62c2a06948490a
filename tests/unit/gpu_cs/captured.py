# SPDX-License-Identifier: GPL-2.0-or-later
"""Command streams of unmodified Mesa as `scripts/capture_streams.py` has captured them, and how they are run.

A file of `tests/data/streams` has, a line each: what it is from (`mesa`, `client`, `captured`); `setup QUEUE VA`, what
d90 of that queue is when a stream begins; `stream QUEUE VA` and `handler VA`, followed by their words, with what Mesa's
own decoder says of each where it does; `words`, words that are known without a place; `page VA`, a mapped page; `data
VA BYTES`, what is in memory at the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.state import StreamState
from tests.unit.gpu_cs.standalone import PAGE, PagedMemory, Rig, encode

DATA = Path(__file__).resolve().parents[2] / "data/streams"
CONTEXT = 0x8000_0000_3000  # where the driver has the context of the group's heap
_ROUNDS = 2000
_STATE = 90  # the register that points to what PanVK keeps of a queue
_HEAP_QUEUES = (0, 1)  # vertices and tiling, fragments
_CHECKS = 112  # there: where the words are that tell Mesa that a stream ran to its end


@dataclass(frozen=True)
class Line:
    word: int
    text: str = ""


@dataclass(frozen=True)
class Code:
    va: int
    lines: tuple[Line, ...]

    @property
    def size(self) -> int:
        return 8 * len(self.lines)

    def lines64(self) -> Iterator[int]:
        """The lines of 64 bytes that it is in."""
        yield from range(self.va // 64, (self.va + self.size - 1) // 64 + 1)


@dataclass(frozen=True)
class Captured:
    mesa: str
    client: str
    date: str
    setups: Mapping[int, int] = field(default_factory=dict)
    streams: tuple[tuple[int, Code], ...] = ()
    handlers: tuple[Code, ...] = ()
    words: tuple[Line, ...] = ()
    pages: tuple[int, ...] = ()
    data: Mapping[int, bytes] = field(default_factory=dict)

    def all_words(self) -> list[Line]:
        codes = (*(code for _, code in self.streams), *self.handlers)
        return [*(line for code in codes for line in code.lines), *self.words]


def render(captured: Captured) -> str:
    lines = [f"mesa {captured.mesa}", f"client {captured.client}", f"captured {captured.date}"]
    lines += [f"setup {queue} {va:x}" for queue, va in sorted(captured.setups.items())]
    for queue, code in captured.streams:
        lines += [f"stream {queue} {code.va:x}", *map(_told, code.lines)]
    for code in captured.handlers:
        lines += [f"handler {code.va:x}", *map(_told, code.lines)]
    if captured.words:
        lines += ["words", *map(_told, captured.words)]
    lines += [f"page {page * PAGE:x}" for page in captured.pages]
    lines += [f"data {va:x} {data.hex()}" for va, data in sorted(captured.data.items())]
    return "\n".join(lines) + "\n"


def _told(line: Line) -> str:
    return f"  {line.word:016x} {line.text}".rstrip()


def parse(text: str) -> Captured:
    head: dict[str, str] = {}
    setups: dict[int, int] = {}
    data: dict[int, bytes] = {}
    pages: list[int] = []
    blocks: list[tuple[list[str], list[Line]]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if line.startswith("  "):
            blocks[-1][1].append(Line(int(word, 16), rest))
        elif word in ("stream", "handler", "words"):
            blocks.append((line.split(), []))
        elif word == "setup":
            queue, va = rest.split()
            setups[int(queue)] = int(va, 16)
        elif word == "page":
            pages.append(int(rest, 16) // PAGE)
        elif word == "data":
            place, part = rest.split()
            data[int(place, 16)] = bytes.fromhex(part)
        else:
            head[word] = rest
    streams = tuple((int(kind[1]), Code(int(kind[2], 16), tuple(lines))) for kind, lines in blocks if len(kind) == 3)
    handlers = tuple(Code(int(kind[1], 16), tuple(lines)) for kind, lines in blocks if len(kind) == 2)
    words = tuple(line for kind, lines in blocks if kind == ["words"] for line in lines)
    return Captured(
        head["mesa"], head["client"], head["captured"], setups, streams, handlers, words, tuple(pages), data
    )


class Run:
    """The streams of one submission on a group as PanVK makes it: a queue each, with one heap for two of them."""

    def __init__(self, captured: Captured, memory: PagedMemory | None = None, params: CsParams | None = None) -> None:
        self.captured = captured
        self.memory = memory or PagedMemory()
        for page in captured.pages:
            self.memory.map(page * PAGE, PAGE)
        for va, part in captured.data.items():
            self.memory.poke(va, part)
        for code in (*(code for _, code in captured.streams), *captured.handlers):
            self.memory.poke(code.va, b"".join(line.word.to_bytes(8, "little") for line in code.lines))
        self.memory.map(CONTEXT, PAGE)
        heaps = GroupHeaps()
        queues = sorted(captured.setups)
        self.queues = {n: Rig(params, memory=self.memory, index=n, heaps=heaps) for n in queues}
        for n, queue in self.queues.items():
            setup = [encode("MOVE", dst=_STATE, imm=captured.setups[n]), encode("SET_SB_ENTRY", endpoint=3, other=0)]
            if n in _HEAP_QUEUES:
                setup += [encode("MOVE", dst=66, imm=CONTEXT), encode("HEAP_SET", addr=66)]
            queue.submit(*setup)
        for n, code in captured.streams:
            self.queues[n].job(code.va, code.size)

    def finish(self, slice_of: int = 50) -> None:
        """Slices in turn, and time passes when all wait, until every queue is idle or nothing moves any more."""
        for _ in range(_ROUNDS):
            states = [queue.run(slice_of) for queue in self.queues.values()]
            if all(state is StreamState.IDLE for state in states):
                return
            if all(state is not StreamState.RUNNING for state in states):
                for queue in self.queues.values():
                    queue.firmware.advance(0.0005)

    def events(self) -> list[tuple[int | str, ...]]:
        return [event for queue in self.queues.values() for event in queue.firmware.events]

    def ended(self, queue: int) -> tuple[int, int]:
        """How many streams of the queue Mesa finds ended, and the error it finds: where it looks with `sync`."""
        place = self.memory.peek64(self.captured.setups[queue] + _CHECKS) + 8 * queue
        return self.memory.peek32(place), self.memory.peek32(place + 4)

    def troubles(self) -> list[str]:
        """What was not as it must be."""
        bad = [str(event) for event in self.events() if event[0] in ("fault", "fatal", "unmodelled")]
        for n, queue in self.queues.items():
            streams = sum(of == n for of, _ in self.captured.streams)
            if queue.stream.state is not StreamState.IDLE:
                bad.append(f"queue {n} is {queue.stream.state.name}")
            if queue.seqno != 1 + streams:
                bad.append(f"queue {n}: {queue.seqno} of {1 + streams} jobs have ended")
            if self.ended(n) != (streams, 0):
                bad.append(f"queue {n}: Mesa finds (ended, error) {self.ended(n)} for {streams} streams")
        return bad

    @staticmethod
    def own(line: int) -> bool:
        """Whether a line of 64 bytes is one of the driver's, not of the client's."""
        return line * 64 < 1 << 28 or line * 64 >= 1 << 47
