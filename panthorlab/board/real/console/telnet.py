# SPDX-License-Identifier: GPL-2.0-or-later
"""Telnet (RFC 854, 856, 1143) and its serial port option (RFC 2217), client side, without I/O.

pyserial's client parses the stream byte by byte in a thread of its own; this one must carry a console at full speed, in
the console's reader thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field

IAC, DONT, DO, WONT, WILL, SB, BREAK, SE = 255, 254, 253, 252, 251, 250, 243, 240
BINARY, ECHO, SGA, COM_PORT = 0, 1, 3, 44
SET_BAUDRATE, SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL = 1, 2, 3, 4, 5
NO_FLOW_CONTROL, BREAK_ON, BREAK_OFF = 1, 5, 6
_FROM_SERVER = 100
_VERBS = frozenset((WILL, WONT, DO, DONT))
MAX_SUBNEGOTIATION = 4096


@dataclass
class Telnet:
    """One connection's protocol state. `receive` returns payload; responses to send collect in `replies`."""

    rfc2217: bool = False
    replies: bytearray = field(default_factory=bytearray)
    local: set[int] = field(default_factory=set)
    """Options that we do and the server agreed to."""
    remote: set[int] = field(default_factory=set)
    """Options that the server does and we agreed to."""
    refused: set[int] = field(default_factory=set)
    """Options that the server has refused to let us use."""
    port: dict[int, int] = field(default_factory=dict)
    """The server's last report of each setting of the serial port (RFC 2217), e.g. the speed."""
    _held: bytes = b""
    _asked: set[tuple[int, int]] = field(default_factory=set)

    def begin(self) -> bytes:
        """The client's first negotiation."""
        ours = (BINARY, SGA, COM_PORT) if self.rfc2217 else (BINARY, SGA)
        for option in ours:
            self._ask(WILL, option)
        for option in (BINARY, SGA):
            self._ask(DO, option)
        return self.take()

    def take(self) -> bytes:
        """The replies so far, to be sent now."""
        replies, self.replies = bytes(self.replies), bytearray()
        return replies

    def receive(self, data: bytes) -> bytes:
        """Payload of a chunk of the stream, cut anywhere."""
        if self._held:
            data, self._held = self._held + data, b""
        if IAC not in data and (BINARY in self.remote or 0x0D not in data):
            return data
        payload = bytearray()
        start = 0
        while (at := data.find(IAC, start)) >= 0:
            payload += data[start:at]
            used = self._command(data, at, payload)
            if not used:  # it goes on in the next portion
                self._held = data[at:]
                return self._newlines(payload)
            start = at + used
        payload += data[start:]
        return self._newlines(payload)

    def escape(self, data: bytes) -> bytes:
        """Payload, escaped for sending."""
        data = data.replace(b"\xff", b"\xff\xff")
        return data if BINARY in self.local else data.replace(b"\r", b"\r\0")

    @staticmethod
    def port_setting(command: int, value: int, size: int = 1) -> bytes:
        """One RFC 2217 request."""
        body = value.to_bytes(size, "big").replace(b"\xff", b"\xff\xff")
        return bytes((IAC, SB, COM_PORT, command)) + body + bytes((IAC, SE))

    def _newlines(self, payload: bytearray) -> bytes:
        """Without binary mode a carriage return travels as CR NUL."""
        if BINARY in self.remote or 0x0D not in payload:
            return bytes(payload)
        if payload.endswith(b"\r"):  # its NUL may be in the next portion
            self._held = b"\r" + self._held
            del payload[-1]
        return bytes(payload.replace(b"\r\0", b"\r"))

    def _command(self, data: bytes, at: int, payload: bytearray) -> int:
        """The command at `at`; its length, 0 if it is not complete."""
        if len(data) < at + 2:
            return 0
        verb = data[at + 1]
        if verb == IAC:
            payload.append(IAC)
            return 2
        if verb in _VERBS:
            if len(data) < at + 3:
                return 0
            self._negotiate(verb, data[at + 2])
            return 3
        if verb == SB:
            return self._subnegotiation(data, at)
        return 2

    def _subnegotiation(self, data: bytes, at: int) -> int:
        body = bytearray()
        start = at + 2
        while (end := data.find(IAC, start)) >= 0 and end + 1 < len(data):
            body += data[start:end]
            start = end + 2
            if data[end + 1] == IAC:
                body.append(IAC)
            else:  # IAC SE; whatever else ends it is a fault of the server's, and ends it as well
                self._answered(bytes(body))
                return start - at
        # A server that never ends one must not fill our memory.
        return 2 if len(data) - at > MAX_SUBNEGOTIATION else 0

    def _answered(self, body: bytes) -> None:
        if len(body) >= 3 and body[0] == COM_PORT and body[1] > _FROM_SERVER:
            self.port[body[1] - _FROM_SERVER] = int.from_bytes(body[2:6], "big")

    def _negotiate(self, verb: int, option: int) -> None:
        """Respond to changes only, so that negotiation cannot loop (RFC 1143)."""
        wanted = {DO: {BINARY, SGA} | ({COM_PORT} if self.rfc2217 else set()), WILL: {BINARY, ECHO, SGA}}
        positive = {DO: DO, DONT: DO, WILL: WILL, WONT: WILL}[verb]
        answer = WILL if positive == DO else DO  # the positive answer; the negative is one more
        state = self.local if positive == DO else self.remote
        was_asked = (answer, option) in self._asked
        self._asked.discard((answer, option))
        if verb == positive:
            if option not in wanted[positive]:
                self._say(answer + 1, option)
            elif option not in state:
                state.add(option)
                if not was_asked:
                    self._say(answer, option)
        else:
            if positive == DO:
                self.refused.add(option)
            if option in state:
                state.discard(option)
                self._say(answer + 1, option)

    def _ask(self, verb: int, option: int) -> None:
        self._asked.add((verb, option))
        self._say(verb, option)

    def _say(self, verb: int, option: int) -> None:
        self.replies += bytes((IAC, verb, option))
