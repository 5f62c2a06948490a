# SPDX-License-Identifier: GPL-2.0-or-later
"""The page table walk: AArch64 LPAE stage 1, 4 KiB granule, as panthor's io-pgtable-arm builds it. Pure.

Levels 0-2 hold tables, levels 1 and 2 may hold blocks (1 GiB, 2 MiB), level 3 holds pages. The driver uses pages
and 2 MiB blocks; the format allows the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

ADDRESS = 0x0000_FFFF_FFFF_F000  # output address bits 47:12 of a descriptor
UNPRIVILEGED = 1 << 6  # AP[1]: the GPU may access the page
READ_ONLY = 1 << 7  # AP[2]
ACCESS_FLAG = 1 << 10
NO_EXECUTE = 1 << 54


class FaultCode(IntEnum):
    """AS_FAULTSTATUS exception types. For faults at a level, add the level to the base value."""

    TRANSLATION = 0xC0
    PERMISSION = 0xC8
    ACCESS_FLAG = 0xD8
    ADDR_SIZE_IN = 0xE0
    ADDR_SIZE_OUT = 0xE4


class Translation(NamedTuple):
    """`va` is mapped to `pa` by the descriptor `entry` at `level`; the low `bits` address bits are the offset."""

    pa: int
    bits: int
    level: int
    entry: int


class WalkFault(NamedTuple):
    """The walk failed with `exception`, the value for AS_FAULTSTATUS bits 7:0."""

    exception: int
    level: int


def walk(
    read: Callable[[int], int],
    root: int,
    va: int,
    va_bits: int = 48,
    pa_bits: int = 40,
    overflow: int = FaultCode.ADDR_SIZE_IN,
) -> Translation | WalkFault:
    """Translate `va` from the table at physical `root`. `read` gives the u64 at a physical address.

    Permissions are not checked: see `permission`. `overflow` is the exception for an address above `va_bits`.
    """
    if va >> va_bits:
        return WalkFault(overflow, 0)
    level = 3 - (va_bits - 13) // 9
    table = root
    if table >> pa_bits:
        return WalkFault(FaultCode.ADDR_SIZE_OUT + level, level)
    while True:
        shift = 39 - 9 * level
        entry = read(table + (va >> shift & 0x1FF) * 8)
        kind = entry & 3
        if kind == 3:
            table = entry & ADDRESS
            if table >> pa_bits:
                return WalkFault(FaultCode.ADDR_SIZE_OUT + level, level)
            if level != 3:
                level += 1
                continue
        elif kind == 1 and level in (1, 2):
            table = entry & ADDRESS & ~((1 << shift) - 1)
            if table >> pa_bits:
                return WalkFault(FaultCode.ADDR_SIZE_OUT + level, level)
        else:
            return WalkFault(FaultCode.TRANSLATION + level, level)
        if not entry & ACCESS_FLAG:
            return WalkFault(FaultCode.ACCESS_FLAG + level, level)
        return Translation(table | va & (1 << shift) - 1, shift, level, entry)


def permission(entry: int, level: int, write: bool, execute: bool) -> WalkFault | None:
    """Check whether a leaf descriptor allows the access; None: it does."""
    forbidden = not entry & UNPRIVILEGED or (write and entry & READ_ONLY) or (execute and entry & NO_EXECUTE)
    return WalkFault(FaultCode.PERMISSION + level, level) if forbidden else None
