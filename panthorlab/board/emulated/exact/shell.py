# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's shell in exact time: there is no reader thread, and sent data reaches the guest before it continues."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Final

from panthorlab.board.emulated import frames
from panthorlab.board.emulated.agent import AgentShell
from panthorlab.board.emulated.exact.time import ExactTime
from panthorlab.board.emulated.frames import Frame
from panthorlab.board.emulated.qmp import Monitor
from panthorlab.errors import PanthorlabError

ROUNDS: Final = 1000
"""Round trips through QEMU's main loop within which it must have forwarded a frame, at four kilobytes each."""
_ANSWER_SECONDS: Final = 60.0
_INT: Final = struct.Struct("=i")


def unread(sock: socket.socket) -> int:
    """Bytes sent (including the kernel's overhead) that the other end has not read yet."""
    value: int = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _INT.pack(0)))[0]
    return value


class ExactShell(AgentShell):
    """Callbacks run in the thread that waits for the board."""

    def __init__(
        self, sock: socket.socket, why_lost: Callable[[], PanthorlabError], board_time: ExactTime, monitor: Monitor
    ) -> None:
        self._exact, self._monitor = board_time, monitor
        super().__init__(sock, why_lost, board_time)

    def _listen(self) -> None:
        self._exact.deliver = self._received

    def _received(self, data: bytes) -> None:
        if not data:
            self._fail("the agent's stream ended")
            return
        try:
            self._take(data)
        except frames.FrameError as error:
            self._fail(f"the agent broke the protocol: {error}")

    def _send(self, frame: Frame, timeout: float) -> bool:
        if self._lost is not None:
            raise self._why_lost()
        if not super()._send(frame, timeout):
            return False
        self._exact.heard_and_told(frames.encode(frame))
        for _ in range(ROUNDS):
            if self._monitor.status(_ANSWER_SECONDS) is None:  # QEMU is gone: the next wait reports it
                return True
            if not unread(self._sock):
                break
        else:
            return False
        self._monitor.status(_ANSWER_SECONDS)  # QEMU has read it; after this it has interrupted the guest
        return True
