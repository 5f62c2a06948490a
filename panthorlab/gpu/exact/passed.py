# SPDX-License-Identifier: GPL-2.0-or-later
"""The file in which the CPU's side writes which watched places of the kernel it has passed, which blocks of watched
code have begun, and where it was held.

That side is `panthorlab/board/emulated/exact/calls.c`; numbers are in the byte order of this machine.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = "driver-calls.bin"
"""Name of the board's file beside the other logs of a boot."""
_PASSED: Final = struct.Struct("=QQQ")
_HELD: Final = 1
_BEGINS: Final = 2
_DISORDER: Final = 1024
"""Twice the longest block: where the CPU is held is written with the count at the block's end, and what is in it later,
with counts that are less."""


@dataclass(frozen=True)
class Passed:
    """A watched place was passed. `count`: instructions before it. `stack`: stack pointer there."""

    count: int
    address: int
    stack: int


@dataclass(frozen=True)
class CpuHeld:
    """The CPU was held for the GPU before a block of `instructions`. `count`: instructions up to the end of this block.
    `address`: of the block."""

    count: int
    address: int
    instructions: int

    @property
    def before(self) -> int:
        """Instructions before the block."""
        return self.count - self.instructions


@dataclass(frozen=True)
class BlockBegin:
    """A block of watched code begins, which nothing interrupts: up to its next jump, or access of a device. `count`:
    instructions before it."""

    count: int
    address: int
    instructions: int


def write_addresses(path: Path, addresses: Iterable[int]) -> Path:
    """The file that tells the board which places to watch, or, by pairs of begin and end, which code."""
    path.write_bytes(array("Q", sorted(addresses)).tobytes())
    return path


def read(path: Path, between: tuple[int, int] | None = None) -> Iterator[Passed | CpuHeld | BlockBegin]:
    """What a board has written, in order. `between`: of what is outside these counts, little. Raises OSError."""
    data = path.read_bytes()
    size = _PASSED.size
    first, last = 0, len(data) // size
    if between is not None:
        counts = memoryview(data[: last * size]).cast("Q")[:: size // 8]
        first, last = bisect_left(counts, between[0] - _DISORDER), bisect_right(counts, between[1] + _DISORDER)
    for words in _PASSED.iter_unpack(data[first * size : last * size]):
        yield _parsed(*words)


def held_for(path: Path, due: int) -> CpuHeld | None:
    """Where the CPU was held for what was due at this count; None if it was not. The file, in which nothing but that is
    written down, may still grow. Raises OSError."""
    with path.open("rb") as file:
        records = range(file.seek(0, os.SEEK_END) // _PASSED.size)

        def held(number: int) -> CpuHeld:
            file.seek(number * _PASSED.size)
            count, address, instructions = _PASSED.unpack(file.read(_PASSED.size))
            return CpuHeld(count, address & ~_HELD, instructions)

        number = bisect_left(records, due, key=lambda at: held(at).count)
        found = held(number) if number < len(records) else None
    return found if found is not None and found.before < due else None


def _parsed(count: int, address: int, word: int) -> Passed | CpuHeld | BlockBegin:
    if address & _HELD:
        return CpuHeld(count, address & ~_HELD, word)
    return BlockBegin(count, address & ~_BEGINS, word) if address & _BEGINS else Passed(count, address, word)
