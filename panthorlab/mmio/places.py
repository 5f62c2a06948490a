# SPDX-License-Identifier: GPL-2.0-or-later
"""From the virtual addresses of a kernel's trace to offsets in the GPU's registers: /proc/iomem says where a device's
registers are, /proc/vmallocinfo where the kernel has mapped them. Both tell addresses to root alone, the latter only if
`kernel.kptr_restrict` is 1 (with 0 they are scrambled, with 2 they are 0)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_RESOURCE: Final = re.compile(r"\s*(?P<start>[0-9a-f]{1,16})-(?P<last>[0-9a-f]{1,16}) : (?P<name>.*)")
_AREA: Final = re.compile(
    r"0x(?P<start>[0-9a-f]{1,16})-0x(?P<end>[0-9a-f]{1,16})\s.*\bphys=0x(?P<phys>[0-9a-f]{1,16})\s.*\bioremap\b"
)


@dataclass(frozen=True)
class Registers:
    """Physical addresses [start, start + size) of a device's registers."""

    start: int
    size: int


@dataclass(frozen=True)
class Mapping:
    """Virtual addresses [start, end) are the registers from `offset` on."""

    start: int
    end: int
    offset: int


def find_registers(iomem: str, device: str) -> Registers | None:
    """Where the registers of `device` (a name in sysfs) are: the innermost resource in /proc/iomem that it has."""
    found = None
    for line in iomem.splitlines():
        match = _RESOURCE.fullmatch(line)
        if match and match["name"].split(" ")[0] == device:
            start, last = int(match["start"], 16), int(match["last"], 16)
            if start < last:
                found = Registers(start, last + 1 - start)
    return found


def find_mappings(vmallocinfo: str, registers: Registers) -> tuple[Mapping, ...]:
    """Where the kernel has mapped them. An area of vmalloc ends with a page that guards it."""
    found = []
    for line in vmallocinfo.splitlines():
        match = _AREA.match(line)
        if match is None:
            continue
        start, end, physical = (int(match[name], 16) for name in ("start", "end", "phys"))
        offset = physical - registers.start
        if start and 0 <= offset < registers.size:
            found.append(Mapping(start, min(end, start + registers.size - offset), offset))
    return tuple(found)


def locate(mappings: Iterable[Mapping], address: int) -> int | None:
    """The offset of the register at this virtual address; None if it is no register of the device."""
    for mapping in mappings:
        if mapping.start <= address < mapping.end:
            return address - mapping.start + mapping.offset
    return None


def event_filter(mappings: Sequence[Mapping]) -> str:
    """What makes the kernel trace accesses to these alone."""
    return " || ".join(f"(addr >= 0x{m.start:x} && addr < 0x{m.end:x})" for m in mappings)
