# SPDX-License-Identifier: GPL-2.0-or-later
"""The mappings of a script's process, as far as the script shows; and ranges at their critical places: at the ends, a
page beside them, in the middle, and at the boundaries of 2 MiB page tables."""

from __future__ import annotations

import random
from typing import Final

PAGE: Final = 0x1000
BLOCK: Final = 0x200000
"""Bytes of a huge page."""
BASES: Final = (0x1000000, 0x1000000 + PAGE, 0x1000000 + BLOCK - PAGE, 0x2000000, 0x2000000 - PAGE)
"""Start addresses of mappings that touch no other. The streams of each VM are above them."""

Range = tuple[int, int]
"""Begin and end, in bytes."""


class Mappings:
    """The mappings of each VM, by its slot, if all calls so far have succeeded."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[Range]] = {}

    def map(self, vm: str, begin: int, size: int) -> None:
        """Replaces earlier mappings in the range."""
        self.unmap(vm, begin, size)
        self._ranges.setdefault(vm, []).append((begin, begin + size))

    def unmap(self, vm: str, begin: int, size: int) -> None:
        """Removes mappings in the range, whole or in part."""
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
        """The mappings of a VM, in order of creation."""
        return list(self._ranges.get(vm, ()))


def draw_part(dice: random.Random, whole: Range) -> Range:
    """A random range between two critical places in and beside `whole`; half of the time one that leaves something on
    either side, if there is room."""
    begin, end = whole
    middle = begin + (end - begin) // 2 // PAGE * PAGE
    block = -(-begin // BLOCK) * BLOCK
    inner = {begin + PAGE, middle, end - PAGE, block - PAGE, block, block + PAGE, block + BLOCK}
    inner = {place for place in inner if begin < place < end}
    places = inner if len(inner) > 1 and dice.random() < 0.5 else inner | {begin - PAGE, begin, end, end + PAGE}
    low, high = sorted(dice.sample(sorted(places), 2))
    return low, high


def draw_offset(dice: random.Random, size: int, room: int) -> int:
    """A random offset for `size` bytes in a buffer object of `room` bytes."""
    return dice.choice([place for place in (0, PAGE, BLOCK, room - size) if 0 <= place <= room - size])


def draw_size(dice: random.Random, room: int) -> int:
    """A random size within a buffer object of `room` bytes, at least a page."""
    return dice.choice([size for size in (room, room, room - PAGE, 4 * PAGE, BLOCK, PAGE) if PAGE <= size <= room])
