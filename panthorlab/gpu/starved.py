# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how long the guest was ready but not run by the host: time that the model must not count.

Delays of the firmware are meant in guest time. On a busy host the guest's CPUs run only part of the time, so a delay by
the wall clock would be too short for the driver.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_CREDENTIALS = struct.Struct("=iII")  # struct ucred


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a Unix socket: QEMU."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(data)[0]
    return pid


class RunDelay:
    """Run delay of all threads of a process: /proc/PID/task/TID/schedstat, second field, nanoseconds.

    Always 0 if the host's kernel does not count it (CONFIG_SCHED_INFO) or denies access to the process.
    """

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")

    def seconds(self) -> float:
        try:
            threads = [(task / "schedstat").read_text() for task in self._tasks.iterdir()]
        except OSError:  # a thread has ended between listing and reading, or there is no such file
            return 0.0
        return sum(int(text.split()[1]) for text in threads) / 1e9
