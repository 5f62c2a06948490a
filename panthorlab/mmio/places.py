# SPDX-License-Identifier: GPL-2.0-or-later
"""From the virtual addresses of a kernel's trace to offsets in the GPU's registers: /proc/iomem says where a device's
registers are, /proc/vmallocinfo where the kernel has mapped them. Both tell addresses to root alone, the latter only if
`kernel.kptr_restrict` is 1 (with 0 they are scrambled, with 2 they are 0)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.mmio.ftrace import TracedAccess

AROUND: Final = 1 << 16
"""Bytes before the first and after the last function that is known of a driver: it may have others there."""
_RESOURCE: Final = re.compile(r"\s*(?P<start>[0-9a-f]{1,16})-(?P<last>[0-9a-f]{1,16}) : (?P<name>.*)")
_AREA: Final = re.compile(
    r"0x(?P<start>[0-9a-f]{1,16})-0x(?P<end>[0-9a-f]{1,16})\s.*\bphys=0x(?P<phys>[0-9a-f]{1,16})\s.*\bioremap\b"
)
_SYMBOL: Final = re.compile(r"(?P<address>[0-9a-f]{1,16}) [tT] (?P<name>\S{1,512})(?:\t\[(?P<module>\w{1,64})\])?")


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


def driver_text(kallsyms: str, driver: str) -> tuple[int, int] | None:
    """Between which addresses the functions of a driver are, those of its module or, built in, those that are named
    after it. None if the file has no addresses, or no such functions."""
    module, built_in = [], []
    for line in kallsyms.splitlines():
        found = _SYMBOL.fullmatch(line)
        if found is None:
            continue
        if found["module"] == driver:
            module.append(int(found["address"], 16))
        elif found["module"] is None and found["name"].startswith(f"{driver}_"):
            built_in.append(int(found["address"], 16))
    addresses = [address for address in module or built_in if address]
    return (min(addresses), max(addresses)) if addresses else None


def event_filter(mappings: Sequence[Mapping], text: tuple[int, int] | None) -> str:
    """What makes the kernel trace accesses to these registers and, wherever they go, those by a driver with its
    functions at `text`: bound anew, it has its registers elsewhere."""
    parts = [f"(addr >= 0x{m.start:x} && addr < 0x{m.end:x})" for m in mappings]
    if text is not None:
        parts.append(f"(caller >= 0x{text[0] - AROUND:x} && caller < 0x{text[1] + AROUND:x})")
    return " || ".join(parts)


class MappedRegisters:
    """Where the registers are while a trace goes on. Known `mappings`, and others of the same kind: the kernel aligns
    what it maps to its size, and a driver's first access to a GPU is a read of its first register, GPU_ID."""

    def __init__(self, registers: Registers, mappings: Sequence[Mapping], driver: str) -> None:
        self._mappings, self._driver = tuple(mappings), driver
        size = registers.size
        whole = any(m.start % size == 0 and (m.end - m.start, m.offset) == (size, 0) for m in mappings)
        self._size = size if whole and not size & size - 1 else None
        self._gpu_id: int | None = None
        self._others: set[int] = set()

    def locate(self, access: TracedAccess) -> int | None:
        """The offset of the register; None if it is no register of the GPU."""
        offset = next(
            (access.address - m.start + m.offset for m in self._mappings if m.start <= access.address < m.end), None
        )
        if offset is None and self._size is not None:
            base = access.address & -self._size
            if base in self._others or self._begins(access, base):
                offset = access.address - base
        if offset == 0 and not access.write and self._gpu_id is None:
            self._gpu_id = access.value
        return offset

    def _begins(self, access: TracedAccess, base: int) -> bool:
        if access.address != base or access.write or access.value != self._gpu_id or not self.by_driver(access):
            return False
        self._others.add(base)
        return True

    def by_driver(self, access: TracedAccess) -> bool:
        """Whether the driver's own function made it, as far as its name tells."""
        return access.by.startswith(f"{self._driver}_")
