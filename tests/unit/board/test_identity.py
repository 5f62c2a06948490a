# SPDX-License-Identifier: GPL-2.0-or-later
"""Build-ids out of ELF notes, and the comparison with what was built."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.board.identity import build_id, parse_notes, verify_identity
from panthorlab.errors import EvidenceError
from panthorlab.kernel.model import Kernel


def note(name: bytes, kind: int, contents: bytes) -> bytes:
    name += b"\0"
    return (
        struct.pack("<III", len(name), len(contents), kind)
        + name
        + bytes(-len(name) % 4)
        + contents
        + bytes(-len(contents) % 4)
    )


# /sys/kernel/notes of a 6.12.117: the build-id, then two notes of Linux itself.
REAL = (
    bytes.fromhex("040000001400000003000000474e5500b2c7f2c947061088d1f17dbda618c8ced30989ea")
    + bytes.fromhex("06000000010000000001 00004c696e757800000000000000".replace(" ", ""))
    + bytes.fromhex("06000000010000000001 00004c696e757800000000000000".replace(" ", ""))
)


def test_real_notes() -> None:
    assert build_id(REAL) == "b2c7f2c947061088d1f17dbda618c8ced30989ea"
    assert [name for name, _, _ in parse_notes(REAL)] == [b"GNU", b"Linux", b"Linux"]


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=9).map(lambda name: name.replace(b"\0", b"n")), st.integers(0, 9), st.binary(max_size=30)
        )
    )
)
def test_any_notes_come_back(notes: list[tuple[bytes, int, bytes]]) -> None:
    assert list(parse_notes(b"".join(note(*each) for each in notes))) == notes


@given(st.binary(max_size=100))
def test_garbage_is_a_value_error_at_most(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert sum(len(contents) for _, _, contents in parse_notes(data)) <= len(data)


def test_no_build_id() -> None:
    assert build_id(note(b"GNU", 1, b"abi") + note(b"Xen", 3, b"123")) is None


class Files:
    """A shell that only reads files, from a dict."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def get(self, path: str) -> bytes:
        if path not in self._files:
            raise RemoteFileError(f"no {path}", errno=2)
        return self._files[path]


MODULE = "/sys/module/panthor/notes/.note.gnu.build-id"


def verify(files: dict[str, bytes], modules: dict[str, str]) -> dict[str, str]:
    kernel = Kernel("k", Path("/k"), "arm64", "6.12", "aa11", "6.12 test", modules=modules)
    return verify_identity(cast(Shell, Files(files)), kernel)


def test_same() -> None:
    files = {
        "/sys/kernel/notes": note(b"GNU", 3, b"\xaa\x11"),
        "/proc/modules": b"panthor 1 0 - Live 0x0\nother 1 0\n",
        MODULE: note(b"GNU", 3, b"\xbb"),
    }
    assert verify(files, {"panthor": "bb", "not_loaded": "cc"}) == {"vmlinux": "aa11", "panthor": "bb"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"/sys/kernel/notes": note(b"GNU", 3, b"\xaa\x12")}, "vmlinux is aa12, built was aa11"),
        ({MODULE: note(b"GNU", 3, b"\xbc")}, "panthor is bc, built was bb"),
        ({MODULE: b""}, "panthor on the board has no build-id"),
        ({"/sys/kernel/notes": b"\1\2\3"}, "not readable"),
        ({"/sys/kernel/notes": b""}, "vmlinux on the board has no build-id"),
    ],
)
def test_wrong(change: dict[str, bytes], message: str) -> None:
    files = {
        "/sys/kernel/notes": note(b"GNU", 3, b"\xaa\x11"),
        "/proc/modules": b"panthor 1 0\n",
        MODULE: note(b"GNU", 3, b"\xbb"),
        **change,
    }
    with pytest.raises(EvidenceError, match=message):
        verify(files, {"panthor": "bb"})


def test_loaded_module_without_note_is_wrong() -> None:
    files = {"/sys/kernel/notes": note(b"GNU", 3, b"\xaa\x11"), "/proc/modules": b"panthor 1 0\n"}
    with pytest.raises(EvidenceError, match="panthor is without build-id"):
        verify(files, {"panthor": "bb"})
