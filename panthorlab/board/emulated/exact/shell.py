# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's shell in exact time: no thread reads, and what is sent has reached the guest before that goes on."""

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
"""Round trips through QEMU's main loop in which it must have passed a frame on: four kilobytes in each."""
_ANSWER_SECONDS: Final = 60.0
_INT: Final = struct.Struct("=i")


def unread(sock: socket.socket) -> int:
    """Bytes (with the kernel's own) that were sent and the other end has not taken yet."""
    value: int = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _INT.pack(0)))[0]
    return value


class ExactShell(AgentShell):
    """Its callbacks are called by whoever waits for the board."""

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
            if self._monitor.status(_ANSWER_SECONDS) is None:  # QEMU has gone: the next wait will tell
                return True
            if not unread(self._sock):
                break
        else:
            return False
        self._monitor.status(_ANSWER_SECONDS)  # it has read the frame: now the guest has been interrupted for it
        return True
