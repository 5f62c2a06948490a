# SPDX-License-Identifier: GPL-2.0-or-later
"""Telnet as far as a serial line needs it: data, escaped IAC bytes, BREAK, and RFC 2217's requests granted.

ser2net passes a BREAK on only to a line that says it is one of RFC 2217. There is no speed on a virtual wire: what is
asked for is what the answer says, as RFC 2217 wants it from a line that can do it.
"""

from __future__ import annotations

from dataclasses import dataclass

IAC, SB, SE, BREAK, WILL, DO = 255, 250, 240, 243, 251, 253
WITH_OPTION = range(251, 255)  # WILL, WONT, DO, DONT
COM_PORT = 44
SET_CONTROL, BREAK_ON = 5, 5
SERVER = 100  # what an answer's command is higher by
SEND_BREAK = bytes((IAC, BREAK))


def escape(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\xff")


@dataclass(frozen=True)
class Piece:
    """Of a telnet stream. `reply`: bytes to send back."""

    data: bytes
    breaks: int = 0
    reply: bytes = b""


class Reader:
    """Takes a telnet stream apart, in pieces of any size."""

    def __init__(self) -> None:
        self._state = "data"
        self._verb = 0
        self._suboption = bytearray()

    def feed(self, stream: bytes) -> Piece:
        """The next piece of the stream."""
        if self._state == "data" and IAC not in stream:
            return Piece(stream)
        data, reply, breaks = bytearray(), bytearray(), 0
        for byte in stream:
            match self._state:
                case "data" if byte != IAC:
                    data.append(byte)
                case "data":
                    self._state = "command"
                case "command":
                    self._state = "option" if byte in WITH_OPTION else "suboption" if byte == SB else "data"
                    self._verb = byte
                    self._suboption.clear()
                    if byte == IAC:
                        data.append(byte)
                    breaks += byte == BREAK
                case "option":
                    self._state = "data"
                    if (self._verb, byte) == (WILL, COM_PORT):
                        reply += bytes((IAC, DO, COM_PORT))
                case "suboption" if byte == IAC:
                    self._state = "suboption command"
                case "suboption":
                    self._suboption.append(byte)
                case "suboption command" if byte == SE:
                    self._state = "data"
                    breaks += self._suboption[:3] == bytes((COM_PORT, SET_CONTROL, BREAK_ON))
                    reply += self._granted()
                case _:
                    self._state = "suboption"
                    self._suboption.append(byte)
        return Piece(bytes(data), breaks, bytes(reply))

    def _granted(self) -> bytes:
        """The answer to an RFC 2217 request: the same, from the server's side."""
        if len(self._suboption) < 2 or self._suboption[0] != COM_PORT:
            return b""
        answer = bytes((COM_PORT, (self._suboption[1] + SERVER) & 0xFF)) + self._suboption[2:]
        return bytes((IAC, SB)) + escape(answer) + bytes((IAC, SE))
