# SPDX-License-Identifier: GPL-2.0-or-later
"""Queries of a device tree blob. Format: Devicetree Specification 0.4, chapter 5."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from panthorlab.errors import LabError

_HEADER = struct.Struct(">10I")
_MAGIC = 0xD00DFEED
_BEGIN, _END, _PROPERTY, _NOP, _FINISH = 1, 2, 3, 4, 9


def properties(dtb: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Path of the node, name and value of every property. Raises LabError if it is no device tree, or cut off."""
    try:
        yield from _properties(dtb)
    except (struct.error, ValueError) as error:
        raise LabError(f"not a device tree blob: {error}") from error


def has_memory(dtb: bytes) -> bool:
    """Whether it gives the size of the memory: a /memory node with a `reg` that is not all zeros."""
    return any(
        path.startswith("/memory") and path.count("/") == 1 and name == "reg" and any(value)
        for path, name, value in properties(dtb)
    )


def has_its(dtb: bytes) -> bool:
    """Whether it has a GICv3 Interrupt Translation Service that is not disabled."""
    found, disabled = set(), set()
    for path, name, value in properties(dtb):
        if name == "compatible" and b"arm,gic-v3-its" in value.split(b"\0"):
            found.add(path)
        if name == "status" and value.rstrip(b"\0") not in (b"okay", b"ok"):
            disabled.add(path)
    return bool(found - disabled)


def _properties(dtb: bytes) -> Iterator[tuple[str, str, bytes]]:
    magic, _, at, strings, *_ = _HEADER.unpack_from(dtb)
    if magic != _MAGIC:
        raise ValueError(f"magic number 0x{magic:08x}")
    path: list[str] = []
    while True:
        (token,) = struct.unpack_from(">I", dtb, at)
        at += 4
        if token == _BEGIN:
            end = dtb.index(b"\0", at)
            path.append(dtb[at:end].decode("ascii", "replace"))
            at = end + 4 & ~3
        elif token == _END:
            if not path:
                raise ValueError("a node ends that never began")
            path.pop()
        elif token == _PROPERTY:
            size, name_at = struct.unpack_from(">2I", dtb, at)
            value = dtb[at + 8 : at + 8 + size]
            if len(value) != size:
                raise ValueError("cut off in a property")
            name = dtb[strings + name_at : dtb.index(b"\0", strings + name_at)].decode("ascii", "replace")
            yield "/".join(path) or "/", name, value
            at = at + 8 + size + 3 & ~3
        elif token == _FINISH:
            return
        elif token != _NOP:
            raise ValueError(f"token {token} at {at - 4}")
