# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process of a script has mapped, as far as the script tells; and ranges that touch it where it matters: at its
ends, a page beside them, in its middle, and where a page table of 2 MiB begins."""

from __future__ import annotations

import random
from typing import Final

PAGE: Final = 0x1000
BLOCK: Final = 0x200000
"""Bytes of a huge page."""
BASES: Final = (0x1000000, 0x1000000 + PAGE, 0x1000000 + BLOCK - PAGE, 0x2000000, 0x2000000 - PAGE)
"""Where mappings begin that touch no other. The streams of each VM are above all of them."""

Range = tuple[int, int]
"""Begin and end, in bytes."""


class Mappings:
    """Of each VM, by its slot: what is mapped there if all calls until now have worked."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[Range]] = {}

    def map(self, vm: str, begin: int, size: int) -> None:
        """Over what has been there."""
        self.unmap(vm, begin, size)
        self._ranges.setdefault(vm, []).append((begin, begin + size))

    def unmap(self, vm: str, begin: int, size: int) -> None:
        """Whatever is there, whole or in part."""
        end = begin + size
        pieces = [
            piece
            for low, high in self._ranges.get(vm, ())
            for piece in ((low, min(high, begin)), (max(low, end), high))
        ]
        self._ranges[vm] = list(dict.fromkeys((low, high) for low, high in pieces if low < high))

    def forget(self, vm: str) -> None:
        """The slot has another VM now, or none."""
        self._ranges.pop(vm, None)

    def places(self) -> list[str]:
        """VMs that have mappings."""
        return [vm for vm, ranges in self._ranges.items() if ranges]

    def of(self, vm: str) -> list[Range]:
        """In the order in which they were made."""
        return list(self._ranges.get(vm, ()))


def draw_part(dice: random.Random, whole: Range) -> Range:
    """Of all ranges between two places that matter in and beside `whole`, one; half of the time one that leaves
    something on either side, if it has room for that."""
    begin, end = whole
    middle = begin + (end - begin) // 2 // PAGE * PAGE
    block = -(-begin // BLOCK) * BLOCK
    inner = {begin + PAGE, middle, end - PAGE, block - PAGE, block, block + PAGE, block + BLOCK}
    inner = {place for place in inner if begin < place < end}
    places = inner if len(inner) > 1 and dice.random() < 0.5 else inner | {begin - PAGE, begin, end, end + PAGE}
    low, high = sorted(dice.sample(sorted(places), 2))
    return low, high


def draw_offset(dice: random.Random, size: int, room: int) -> int:
    """Where in a buffer object of `room` bytes `size` of them may begin."""
    return dice.choice([place for place in (0, PAGE, BLOCK, room - size) if 0 <= place <= room - size])


def draw_size(dice: random.Random, room: int) -> int:
    """How much of a buffer object of `room` bytes, at least a page."""
    return dice.choice([size for size in (room, room, room - PAGE, 4 * PAGE, BLOCK, PAGE) if PAGE <= size <= room])
