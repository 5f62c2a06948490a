# SPDX-License-Identifier: GPL-2.0-or-later
"""cpio archives in the `newc` format that Linux unpacks as initramfs (Documentation/driver-api/early-userspace/
buffer-format.rst). Equal entries give equal bytes: no times, owners or inode numbers of the host.

Every file has the same time, and not 1970, because Mesa then does not trust its own library. The kernel keeps the time
with CONFIG_INITRAMFS_PRESERVE_MTIME.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

MTIME = 1577836800  # 2020-01-01


@dataclass(frozen=True)
class CpioEntry:
    """One file. `path`: absolute on the board. `mode`: with type bits (stat.S_IF…). `data`: contents or link target."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file_entry(path: str, data: bytes, mode: int = 0o644) -> CpioEntry:
    return CpioEntry(path, stat.S_IFREG | mode, data)


def dir_entry(path: str, mode: int = 0o755) -> CpioEntry:
    return CpioEntry(path, stat.S_IFDIR | mode)


def link_entry(path: str, target: str) -> CpioEntry:
    return CpioEntry(path, stat.S_IFLNK | 0o777, target.encode("utf-8", "surrogateescape"))


def char_device(path: str, major: int, minor: int, mode: int = 0o600) -> CpioEntry:
    return CpioEntry(path, stat.S_IFCHR | mode, device=(major, minor))


def with_parents(entries: Iterable[CpioEntry]) -> Iterator[CpioEntry]:
    """The entries sorted by path, each after the directories it needs; of several with one path the last wins."""
    last = {str(PurePosixPath("/", entry.path)): entry for entry in entries}
    for path in list(last):
        for parent in PurePosixPath(path).parents:
            if str(parent) != "/":
                last.setdefault(str(parent), dir_entry(str(parent)))
    for path in sorted(last):
        if path != "/":
            yield last[path]


def write_newc(entries: Iterable[CpioEntry]) -> bytes:
    """The archive, usable as initrd. Missing parent directories are added (0755)."""
    out = bytearray()
    for number, entry in enumerate(with_parents(entries), start=1):
        _append(out, entry, number)
    _append(out, CpioEntry("TRAILER!!!", 0), 0)
    out += b"\0" * (-len(out) % 512)
    return bytes(out)


def _append(out: bytearray, entry: CpioEntry, number: int) -> None:
    name = entry.path.lstrip("/").encode("utf-8", "surrogateescape") + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, MTIME, len(entry.data), 0, 0, *entry.device, len(name), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out += b"\0" * (-len(out) % 4)
    out += entry.data
    out += b"\0" * (-len(out) % 4)
