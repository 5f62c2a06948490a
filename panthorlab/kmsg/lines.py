# SPDX-License-Identifier: GPL-2.0-or-later
"""Clean whole lines from chunks of bytes, cut anywhere, without additions by terminals, web pages, wide characters."""

from __future__ import annotations

import html
import re

MAX_LINE = 1 << 18
"""Bytes of one line that are kept; the rest up to the newline is dropped. A whole dmesg may be pasted as one line."""

_ANSI = re.compile(
    rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHMNOZ])"
)
_ANSI_BEGUN = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|\][^\x07\x1b\n]{0,256}\x1b?|[()])?\Z")
_LONGEST_ANSI = 264
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\x07\x1b") + b"\x7f"
"""Backspaces, shifts, NULs: terminals and captures leave them."""
_EACH_CONTROL = tuple(bytes([byte]) for byte in _CONTROLS)
_NO_BREAK_SPACE = b"\xc2\xa0"
"""Replacement of a space by web pages and mailers."""
_ENTITY = re.compile(rb"&(?:lt|gt|amp|quot|apos|nbsp|#\d{1,4}|#x[0-9a-fA-F]{1,4});")


class LineCleaner:
    """Whole clean lines, none longer than `MAX_LINE` once `cut`: without control characters, ANSI, HTML entities."""

    def __init__(self) -> None:
        self._held = b""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """The lines completed by `chunk`, each with its newline (long ones are not cut yet: see `cut`)."""
        data = self._clean(chunk)
        end = data.rfind(b"\n") + 1
        if not end:
            self._tail += data[: MAX_LINE - len(self._tail)]
            return b""
        if self._tail:
            # A line over MAX_LINE was cut while it was incomplete; its remainder must not be joined to the cut.
            first = data.find(b"\n")
            head = bytes(self._tail) + data[: min(first, MAX_LINE - len(self._tail))]
            block = head + data[first:end]
        else:
            block = data[:end]
        self._tail = bytearray(data[end : end + MAX_LINE])
        return _without_entities(block)

    def close(self) -> bytes:
        """The unfinished last line of the input; with a newline if not empty."""
        rest = bytes(self._tail) + self._held[: MAX_LINE - len(self._tail)]
        self._tail, self._held = bytearray(), b""
        return _without_entities(rest + b"\n") if rest else b""

    def _clean(self, chunk: bytes) -> bytes:
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if any(control in data for control in _EACH_CONTROL):
            data = data.translate(None, _CONTROLS)
        half = b""
        if b"\xc2" in data:
            if data.endswith(b"\xc2"):
                half, data = b"\xc2", data[:-1]
            data = data.replace(_NO_BREAK_SPACE, b" ")
        if b"\x1b" in data:
            begun = _ANSI_BEGUN.search(data, max(0, len(data) - _LONGEST_ANSI))
            if begun:
                self._held = data[begun.start() :]
                data = data[: begun.start()]
            data = _ANSI.sub(b"", data)
        if b"\x07" in data:  # a bell; it also ends some ANSI sequences
            data = data.replace(b"\x07", b"")
        self._held += half
        return data


def cut(line: bytes) -> bytes:
    """One line of a block without its line end, at most `MAX_LINE` bytes."""
    return line[:MAX_LINE].rstrip(b"\r\n")


def _without_entities(block: bytes) -> bytes:
    if b"&" not in block or not _ENTITY.search(block):
        return block
    return b"\n".join(_ENTITY.sub(_character, line[:MAX_LINE]) for line in block.split(b"\n"))


def _character(entity: re.Match[bytes]) -> bytes:
    character = html.unescape(entity[0].decode("ascii"))
    if not character.isprintable():  # a newline here would be no line of the file, a no-break space is a space
        return b" "
    return character.encode("utf-8", "replace")
