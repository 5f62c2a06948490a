# SPDX-License-Identifier: GPL-2.0-or-later
"""The file in which the CPU's side writes which watched places of the kernel it has passed, which blocks of watched
code have begun, and where it was held.

That side is `panthorlab/board/emulated/exact/calls.c`; numbers are in the byte order of this machine.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = "driver-calls.bin"
"""Name of the board's file beside the other logs of a boot."""
_PASSED: Final = struct.Struct("=QQQ")
_HELD: Final = 1
_BEGINS: Final = 2


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


def read(path: Path) -> Iterator[Passed | CpuHeld | BlockBegin]:
    """What a board has written, in order. Raises OSError."""
    data = path.read_bytes()
    whole = len(data) - len(data) % _PASSED.size
    for words in _PASSED.iter_unpack(data[:whole]):
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
