# SPDX-License-Identifier: GPL-2.0-or-later
"""What Mesa prints of the command streams that it submits (`PANVK_DEBUG=trace,dump`, `PAN_MESA_DEBUG=trace`), as data.

PanVK: `main_cs@ffdac000{`, an instruction a line, labels between them, `}`; then every mapped buffer in hexadecimal.
The Gallium driver: the eight bytes of a word and what it is, indented by how deep it was called; no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.unit.gpu_cs.captured import Line

_OWNER = re.compile(r"(Init subqueue|CS \d+ on subqueue) (\d+) binar(?:y|ies)$")
_LISTING = re.compile(r"\w+@([0-9a-f]+)\{$")
_WORD = re.compile(r"  ((?:[0-9a-f]{2} ){8}) +(\S.*)$")
_BUFFER = re.compile(r"Buffer: .* gpu ([0-9a-f]+)$")
_BYTES = re.compile(r"([0-9A-F]{6,})  ((?:[0-9A-F]{2} ?)+)$")
_MOVE = re.compile(r"MOVE(?:32|48)? [rd](\d+), #0x([0-9A-F]+)$")
_HANDLER = re.compile(r"SET_EXCEPTION_HANDLER d(\d+), r(\d+)$")


@dataclass
class Listing:
    """A stream as Mesa's decoder tells it. `initial`: of the making of a queue, whose memory is never dumped."""

    queue: int
    va: int
    initial: bool
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> tuple[str, ...]:
        return tuple(self.lines)

    def moved(self, register: int) -> int:
        """What is moved into the register first."""
        return next(
            int(found[2], 16) for line in self.lines if (found := _MOVE.match(line)) and int(found[1]) == register
        )

    def handlers(self) -> Iterator[tuple[int, int]]:
        """Address and size of each exception handler whose registers were moved there before."""
        moved: dict[int, int] = {}
        for line in self.lines:
            if found := _MOVE.match(line):
                moved[int(found[1])] = int(found[2], 16)
            elif (found := _HANDLER.match(line)) and moved.get(int(found[2])):
                yield moved[int(found[1])], moved[int(found[2])]


@dataclass
class Dump:
    listings: list[Listing] = field(default_factory=list)
    words: list[Line] = field(default_factory=list)
    memory: dict[int, bytes] = field(default_factory=dict)

    def has(self, listing: Listing) -> bool:
        """Whether the memory that it is in was dumped."""
        end = listing.va + 8 * len(listing.lines)
        return any(va <= listing.va and end <= va + len(data) for va, data in self.memory.items())


def parse_dump(text: str) -> Dump:
    dump = Dump()
    queue, initial, listing, buffer = 0, False, None, None
    for line in text.splitlines():
        if found := _OWNER.match(line):
            queue, initial = int(found[2]), found[1].startswith("Init")
        elif found := _LISTING.match(line):
            listing = Listing(queue, int(found[1], 16), initial)
            dump.listings.append(listing)
        elif line.startswith("}"):
            listing = None
        elif listing is not None:
            if line.startswith("  "):
                listing.lines.append(line.strip().partition(" //")[0])
        elif found := _WORD.match(line):
            dump.words.append(Line(int.from_bytes(bytes.fromhex(found[1]), "little"), found[2].strip()))
        elif found := _BUFFER.match(line):
            buffer = int(found[1], 16)
            dump.memory[buffer] = b""
        elif buffer is not None:
            dump.memory[buffer] += _bytes_of(line, dump.memory[buffer])
    return dump


def _bytes_of(line: str, before: bytes) -> bytes:
    """The bytes of a line, after those of lines that are not printed since they are as the last one (`*`)."""
    found = _BYTES.match(line)
    if found is None:
        return b""
    return before[-16:] * ((int(found[1], 16) - len(before)) // 16) + bytes.fromhex(found[2])
