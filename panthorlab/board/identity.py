# SPDX-License-Identifier: GPL-2.0-or-later
"""Proof that a board runs the kernel that was built: build-ids of vmlinux and of every loaded module of the build."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.errors import EvidenceError
from panthorlab.kernel.model import Kernel

NT_GNU_BUILD_ID = 3
_NOTE = struct.Struct("<III")


def parse_notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """ELF notes (`Elf64_Nhdr`, 4-byte padding, little-endian) as name, type, contents. Raises ValueError if cut off."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _NOTE.size:
            raise ValueError("an ELF note is cut off in its header")
        name_size, size, kind = _NOTE.unpack_from(data, offset)
        name_at = offset + _NOTE.size
        at = name_at + (name_size + 3 & ~3)
        if at + size > len(data):
            raise ValueError("an ELF note is cut off in its contents")
        yield data[name_at : name_at + name_size].rstrip(b"\0"), kind, data[at : at + size]
        offset = at + (size + 3 & ~3)


def build_id(notes: bytes) -> str | None:
    """The GNU build-id among ELF notes, lower-case hex; None if there is none. Raises ValueError."""
    for name, kind, contents in parse_notes(notes):
        if name == b"GNU" and kind == NT_GNU_BUILD_ID:
            return contents.hex()
    return None


def read_identity(shell: Shell, modules: Iterable[str]) -> dict[str, str]:
    """Build-ids of kernel and loaded modules, by `vmlinux` or module name. Raises EvidenceError if one has none."""
    found = {"vmlinux": _read(shell, "/sys/kernel/notes", "vmlinux")}
    for module in modules:
        try:
            found[module] = _read(shell, f"/sys/module/{module}/notes/.note.gnu.build-id", module)
        except RemoteFileError:
            continue  # not loaded, or built in under the same name: then it is part of vmlinux
    return found


def verify_identity(shell: Shell, kernel: Kernel) -> dict[str, str]:
    """`read_identity`, compared with the build. Raises EvidenceError if another kernel or module is running."""
    loaded = shell.get("/proc/modules").decode("ascii", "replace")
    names = [line.split(" ", 1)[0] for line in loaded.splitlines()]
    found = read_identity(shell, [name for name in names if name in kernel.modules])
    wanted = {"vmlinux": kernel.build_id, **kernel.modules}
    wrong = [
        f"{name} is {found.get(name, 'without build-id')}, built was {wanted[name]}"
        for name in ["vmlinux", *(name for name in names if name in kernel.modules)]
        if found.get(name) != wanted[name]
    ]
    if wrong:
        raise EvidenceError(
            f"the board does not run the kernel that was built ({kernel.title}): {'; '.join(wrong)}",
            hint="a stale Image or module on the board?",
        )
    return found


def _read(shell: Shell, path: str, what: str) -> str:
    try:
        found = build_id(shell.get(path))
    except ValueError as error:
        raise EvidenceError(f"{path} on the board is not readable: {error}") from error
    if found is None:
        raise EvidenceError(f"{what} on the board has no build-id", hint="is CONFIG_BUILD_SALT or --build-id lost?")
    return found
