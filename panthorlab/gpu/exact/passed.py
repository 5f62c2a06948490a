# SPDX-License-Identifier: GPL-2.0-or-later
"""The file in which the CPU's side writes which watched places of the kernel it has passed, and where it was held.

That side is `panthorlab/board/emulated/exact/calls.c`; numbers are in the byte order of this machine.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = "driver-calls.bin"
"""Name of the board's file beside the other logs of a boot."""
_PASSED: Final = struct.Struct("=QQQ")
_HELD: Final = 1


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


def write_addresses(path: Path, addresses: Iterable[int]) -> Path:
    """The file that tells the board which places to watch."""
    path.write_bytes(array("Q", sorted(addresses)).tobytes())
    return path


def read(path: Path) -> Iterator[Passed | CpuHeld]:
    """What a board has written, in order. Raises OSError."""
    data = path.read_bytes()
    whole = len(data) - len(data) % _PASSED.size
    for count, address, stack in _PASSED.iter_unpack(data[:whole]):
        yield CpuHeld(count, address & ~_HELD, stack) if address & _HELD else Passed(count, address, stack)
