# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs in a file: plain, compressed, or members of an archive; standard input likewise.

For formats that are not supported, the error names a program that unpacks them. The unpacked size per file is bounded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

CHUNK = 1 << 18
"""Bytes read at a time: fits the processor's cache."""
MAX_UNPACKED = 1 << 30
"""Bytes that a compressed file may unpack to; no kernel log is that large."""
MAX_MEMBERS = 1000
MAX_DEPTH = 3
"""Maximum nesting of archives."""

UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError)
"""Exceptions from reading a damaged, encrypted or missing file (zipfile: RuntimeError for encrypted members)."""

_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first (zstdcat FILE | panthorlab scan -)"),
    (b"\x04\x22\x4d\x18", "compressed with lz4: unpack it first (lz4cat FILE | panthorlab scan -)"),
    (b"\x02\x21\x4c\x18", "compressed with lz4: unpack it first (lz4cat FILE | panthorlab scan -)"),
    (b"\x89LZO\0", "compressed with lzop: unpack it first (lzop -dc FILE | panthorlab scan -)"),
    (b"LZIP", "compressed with lzip: unpack it first (lzip -dc FILE | panthorlab scan -)"),
    (b"\x1f\x9d", "compressed with compress: unpack it first (zcat FILE | panthorlab scan -)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first (7z x -so FILE | panthorlab scan -)"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it first (unrar p -inul FILE | panthorlab scan -)"),
    (b"LPKSHHRH", "a journal file: let journalctl read it (journalctl --file FILE -k | panthorlab scan -)"),
    (b"%PDF-", "a PDF: give the text of the log"),
    (b"\x89PNG\r\n", "a picture: give the text of the log"),
    (b"\xff\xd8\xff", "a picture: give the text of the log"),
)
_MAGIC = 512 + 8


class _Budget:
    def __init__(self) -> None:
        self.left = MAX_UNPACKED

    def spend(self, chunk: bytes) -> None:
        self.left -= len(chunk)
        if self.left < 0:
            raise OSError(f"unpacks to more than {MAX_UNPACKED >> 20} MiB: unpack it, and scan the logs in it")


def logs(path: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(name, chunks of bytes) of every log in a file; `-` is standard input. Chunks of a log must be read before the
    next log is requested. Members of archives are named FILE/MEMBER. Raises one of `UNREADABLE`, as do the chunks."""
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        yield from _logs(path, sys.stdin.buffer, _Budget(), 0)
        return
    with Path(path).open("rb") as file:
        yield from _logs(path, file, _Budget(), 0)


def _logs(name: str, file: IO[bytes], budget: _Budget, depth: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    start = b""
    while len(start) < _MAGIC and (more := file.read(_MAGIC - len(start))):
        start += more
    if foreign := next((how for magic, how in _FOREIGN if start.startswith(magic)), None):
        raise OSError(foreign)
    whole = io.BufferedReader(_Joined(start, file))
    if depth >= MAX_DEPTH:
        yield name, _chunks(whole, None)
    elif start[:2] == b"\x1f\x8b":
        yield from _logs(name, _Bounded.of(gzip.GzipFile(fileobj=whole), budget), budget, depth + 1)
    elif start[:6] == b"\xfd7zXZ\0" or start[:3] == b"\x5d\0\0":
        yield from _logs(name, _Bounded.of(lzma.LZMAFile(whole), budget), budget, depth + 1)  # noqa: SIM115 - a stream
    elif start[:3] == b"BZh" and start[4:10] == b"1AY&SY":
        yield from _logs(name, _Bounded.of(bz2.BZ2File(whole), budget), budget, depth + 1)
    elif start[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        yield from _zip(name, whole, budget, depth)
    elif start[257:262] == b"ustar":
        yield from _tar(name, whole, budget, depth)
    else:
        yield name, _chunks(whole, None)


def _tar(name: str, file: IO[bytes], budget: _Budget, depth: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for count, member in enumerate(archive):
            _check_count(count)
            if member.isreg() and (content := archive.extractfile(member)):
                yield from _logs(f"{name}/{member.name}", content, budget, depth + 1)


def _zip(name: str, file: IO[bytes], budget: _Budget, depth: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    with tempfile.TemporaryFile() as whole:  # its directory is at its end
        for chunk in _chunks(file, budget):
            whole.write(chunk)
        with zipfile.ZipFile(whole) as archive:
            for count, member in enumerate(archive.infolist()):
                _check_count(count)
                if not member.is_dir():
                    try:
                        content = archive.open(member)
                    except NotImplementedError as error:
                        raise OSError(f"{member.filename}: {error}: unpack it first") from error
                    with content:
                        inner = _Bounded.of(content, budget)
                        yield from _logs(f"{name}/{member.filename}", inner, budget, depth + 1)


def _check_count(count: int) -> None:
    if count >= MAX_MEMBERS:
        raise OSError(f"an archive of more than {MAX_MEMBERS} files: unpack it, and scan the logs in it")


def _chunks(file: IO[bytes], budget: _Budget | None) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        if budget:
            budget.spend(chunk)
        yield chunk


class _Joined(io.RawIOBase):
    """The part of a stream that was already read, followed by the rest."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._start[: len(buffer)] or self._rest.read(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class _Bounded(io.RawIOBase):
    """A stream whose bytes are counted against the budget of its file."""

    def __init__(self, rest: IO[bytes], budget: _Budget) -> None:
        self._rest, self._budget = rest, budget

    @classmethod
    def of(cls, rest: object, budget: _Budget) -> IO[bytes]:
        return io.BufferedReader(cls(rest, budget), CHUNK)  # type: ignore[arg-type]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._rest.read(len(buffer))
        self._budget.spend(data)
        buffer[: len(data)] = data
        return len(data)
