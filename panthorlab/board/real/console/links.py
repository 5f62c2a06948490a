# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to serial lines: a device of this machine, raw TCP, telnet with or without RFC 2217.

Opening one gives either an exclusive link at the right speed, or a LabError that names the obstacle. A lost link is not
repaired: the console opens a new one.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from panthorlab.board.real.console import telnet
from panthorlab.board.real.console.tty import BREAK_TIME, SEND_TIME, TtyLink
from panthorlab.board.real.file import ConsoleSection, TcpConsole, TelnetConsole, TtyConsole
from panthorlab.board.real.parts import Link
from panthorlab.errors import LabError

HANG_UP_TIME = 0.3
"""Seconds within which a server that is in use hangs up on us."""


def open_link(section: ConsoleSection, timeout: float = 10.0) -> Link:
    """A new connection. Raises LabError, after `timeout` seconds at the latest for each thing it waits for."""
    match section:
        case TtyConsole():
            return TtyLink(section)
        case TcpConsole():
            return TcpLink(section.host, section.port, timeout)
        case TelnetConsole():
            return TelnetLink(section, timeout)
        case _:
            assert_never(section)


def describe(section: ConsoleSection) -> str:
    """For messages: `/dev/ttyUSB0 at 1500000 baud`."""
    match section:
        case TtyConsole():
            return f"{section.device} at {section.speed} baud"
        case TcpConsole():
            return f"{section.host}:{section.port} (raw TCP)"
        case TelnetConsole(rfc2217=True):
            return f"{section.host}:{section.port} (RFC 2217 at {section.speed} baud)"
        case TelnetConsole():
            return f"{section.host}:{section.port} (telnet)"
        case _:
            assert_never(section)


class TcpLink:
    """Raw TCP. Notices a dead peer within half a minute."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        address = (host.strip("[]"), port)
        try:
            self._socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise _cannot_connect(host, port, error) from error
        self._socket.settimeout(None)
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIME, 0)),
        ):  # fmt: skip
            self._socket.setsockopt(level, option, value)
        self._early = self._settle(f"{host}:{port}")

    def recv(self, size: int, /) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        return self._socket.recv(size)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    can_break = False

    def send_break(self) -> None:
        raise OSError(errno.EOPNOTSUPP, "raw TCP carries no BREAK")

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def wait(self, seconds: float) -> bool:
        """Whether there is something to `recv` within `seconds`."""
        return bool(self._early or select.select([self._socket], [], [], max(0.0, seconds))[0])

    def _settle(self, where: str) -> bytes:
        """The first bytes. Raises LabError if the server hangs up at once, as it does when others use the line."""
        early = b""
        deadline = time.monotonic() + HANG_UP_TIME
        while select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.close()
                text = telnet.Telnet().receive(early).decode("ascii", "replace").strip()
                raise LabError(
                    f"console {where}: the server hung up at once, saying: {text or 'nothing'}",
                    hint="usually another client has the line, or the server cannot open its device; "
                    "see the log of the server (journalctl -u ser2net)",
                )
            early += data
        return early


class TelnetLink:
    """Telnet over TCP; with RFC 2217 the speed is set and confirmed by the constructor."""

    def __init__(self, section: TelnetConsole, timeout: float) -> None:
        self._where = f"{section.host}:{section.port}"
        self._protocol = telnet.Telnet(section.rfc2217)
        self._tcp = TcpLink(section.host, section.port, timeout)
        self._sending = threading.RLock()
        self._early = b""
        try:
            self._tcp.send(self._protocol.begin())
            if section.rfc2217:
                self._configure(section, timeout)
        except OSError as error:
            self.close()
            raise LabError(f"console {self._where}: lost while it was set up: {error}") from error
        except BaseException:
            self.close()
            raise

    def recv(self, size: int, /) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        while data := self._tcp.recv(size):
            if payload := self._receive(data):
                return payload
        return b""

    def send(self, data: bytes) -> None:
        with self._sending:
            self._tcp.send(self._protocol.escape(data))

    can_break = True

    def send_break(self) -> None:
        with self._sending:
            if telnet.COM_PORT not in self._protocol.local:
                self._tcp.send(bytes((telnet.IAC, telnet.BREAK)))
                return
            self._tcp.send(self._protocol.port_setting(telnet.SET_CONTROL, telnet.BREAK_ON))
            time.sleep(BREAK_TIME)  # how long it is
            self._tcp.send(self._protocol.port_setting(telnet.SET_CONTROL, telnet.BREAK_OFF))

    def close(self) -> None:
        self._tcp.close()

    def _receive(self, data: bytes) -> bytes:
        payload = self._protocol.receive(data)
        if replies := self._protocol.take():
            with self._sending:
                self._tcp.send(replies)
        return payload

    def _configure(self, section: TelnetConsole, timeout: float) -> None:
        """Set the line to 8N1 without flow control, at the speed of the board, and see that it was done."""
        protocol = self._protocol
        deadline = time.monotonic() + timeout
        self._await(
            deadline, "whether it speaks RFC 2217", lambda: telnet.COM_PORT in protocol.local | protocol.refused
        )
        if telnet.COM_PORT not in protocol.local:
            raise LabError(
                f"console {self._where}: the server refuses RFC 2217",
                hint="ser2net: `accepter: telnet(rfc2217),tcp,PORT`; or set `rfc2217: false` in the board "
                "file, and the speed in the server's",
            )
        self._tcp.send(b"".join((
            protocol.port_setting(telnet.SET_BAUDRATE, section.speed, size=4),
            protocol.port_setting(telnet.SET_DATASIZE, 8), protocol.port_setting(telnet.SET_PARITY, 1),
            protocol.port_setting(telnet.SET_STOPSIZE, 1),
            protocol.port_setting(telnet.SET_CONTROL, telnet.NO_FLOW_CONTROL),
        )))  # fmt: skip
        self._await(deadline, "an answer about the speed", lambda: telnet.SET_BAUDRATE in protocol.port)
        if (speed := protocol.port[telnet.SET_BAUDRATE]) != section.speed:
            raise LabError(
                f"console {self._where}: the server runs the line at {speed} baud, not at {section.speed}",
                hint="can its adapter do that speed? 1500000 needs e.g. FT232, CP2102N or CH340",
            )

    def _await(self, deadline: float, what: str, done: Callable[[], bool]) -> None:
        while not done():
            if not self._tcp.wait(deadline - time.monotonic()):
                raise LabError(
                    f"console {self._where}: the server did not say {what}",
                    hint="is it a telnet server? Raw ones (ser2net `tcp`) are `transport: tcp`",
                )
            data = self._tcp.recv(65536)
            if not data:
                raise LabError(f"console {self._where}: the server hung up before it said {what}")
            self._early += self._receive(data)


def _cannot_connect(host: str, port: int, error: OSError) -> LabError:
    where = f"{host}:{port}"
    if isinstance(error, ConnectionRefusedError):
        return LabError(
            f"console {where}: connection refused",
            hint="is ser2net up (systemctl status ser2net), and does it accept on this address? "
            f"Its `accepter` must name port {port}, and not only localhost if it is another machine",
        )
    if isinstance(error, socket.gaierror):
        return LabError(f"console {where}: no such host: {error.strerror}")
    if isinstance(error, TimeoutError):
        return LabError(f"console {where}: no answer", hint="is the machine up, and does a firewall drop the port?")
    return LabError(f"console {where}: {error.strerror or error}")
