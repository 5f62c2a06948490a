# SPDX-License-Identifier: GPL-2.0-or-later
"""Split a firmware image into parts and put it together again, mainly to build malformed images for tests.

Source of the format: panthor_fw.c (Linux 6.12.117, 7.3.4).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from panthorlab.gpu.fw.image import ENTRY_SECTION, HEADER, READ, SECTION, WRITE, ZERO

WORD: Final = struct.Struct("<I")
PAGE: Final = 0x1000


@dataclass(frozen=True)
class Entry:
    """`kind`: the entry header without its size field: type and flags. `body`: the bytes after the header word."""

    kind: int
    body: bytes
    size: int | None = None
    """The size in the header; None: the real size."""

    def to_bytes(self) -> bytes:
        size = WORD.size + len(self.body) if self.size is None else self.size
        return WORD.pack(self.kind | (size & 0xFF) << 8) + self.body


@dataclass(frozen=True)
class Image:
    """An image in parts. `size`: size of header and entries as the header states it; None: the real size."""

    entries: tuple[Entry, ...]
    rest: bytes = b""
    magic: int = 0xC3F13A6E
    minor: int = 0
    major: int = 0
    version_hash: int = 0x12345678
    size: int | None = None

    def to_bytes(self) -> bytes:
        entries = b"".join(entry.to_bytes() for entry in self.entries)
        size = HEADER.size + len(entries) if self.size is None else self.size
        return HEADER.pack(self.magic, self.minor, self.major, 0, self.version_hash, 0, size) + entries + self.rest


def parse(data: bytes) -> Image:
    """Split a well-formed image. Raises ValueError for a malformed one."""
    if len(data) < HEADER.size:
        raise ValueError("shorter than a firmware header")
    magic, minor, major, _, version_hash, _, size = HEADER.unpack_from(data)
    entries, at = [], HEADER.size
    while at < size:
        if at + WORD.size > len(data):
            raise ValueError("its entries are cut off")
        (head,) = WORD.unpack_from(data, at)
        length = head >> 8 & 0xFF
        if length < WORD.size or at + length > size:
            raise ValueError(f"an entry of {length} bytes at {at}")
        entries.append(Entry(head & ~0xFF00, data[at + WORD.size : at + length]))
        at += length
    return Image(tuple(entries), data[at:], magic, minor, major, version_hash)


def section(
    va: int,
    size: int = PAGE,
    *,
    flags: int = READ | WRITE | ZERO,
    data: tuple[int, int] = (0, 0),
    end: int | None = None,
    name: bytes = b"",
) -> Entry:
    """A section of `size` bytes at `va`, filled with the bytes of the file from `data[0]` to `data[1]`."""
    return Entry(
        ENTRY_SECTION, SECTION.pack(0, flags, va, va + size if end is None else end, *data)[WORD.size :] + name
    )
