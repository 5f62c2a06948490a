# SPDX-License-Identifier: GPL-2.0-or-later
"""Telnet as far as a serial line needs it: data, escaped IAC bytes, BREAK; options are read over."""

from __future__ import annotations

IAC, SB, SE, BREAK = 255, 250, 240, 243
WITH_OPTION = range(251, 255)  # WILL, WONT, DO, DONT
SEND_BREAK = bytes((IAC, BREAK))


def escape(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\xff")


class Reader:
    """Takes a telnet stream apart, in pieces of any size."""

    def __init__(self) -> None:
        self._state = "data"

    def feed(self, stream: bytes) -> tuple[bytes, int]:
        """The data of the next piece of the stream, and how many BREAKs were in it."""
        if self._state == "data" and IAC not in stream:
            return stream, 0
        data, breaks = bytearray(), 0
        for byte in stream:
            match self._state:
                case "data" if byte != IAC:
                    data.append(byte)
                case "data":
                    self._state = "command"
                case "command":
                    self._state = "option" if byte in WITH_OPTION else "suboption" if byte == SB else "data"
                    if byte == IAC:
                        data.append(byte)
                    breaks += byte == BREAK
                case "option":
                    self._state = "data"
                case "suboption" if byte == IAC:
                    self._state = "suboption command"
                case "suboption command":
                    self._state = "data" if byte == SE else "suboption"
        return bytes(data), breaks
