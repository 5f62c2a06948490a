# SPDX-License-Identifier: GPL-2.0-or-later
"""Identifying the processes that hold leases, and whether they are alive, in spite of kill -9, reused pids, reboots,
containers and other hosts."""

from __future__ import annotations

import getpass
import os
import socket
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Holder(BaseModel):
    """One process that holds a board. `machine`: boot and pid namespace in which the pid is valid.

    `started`: its start time in clock ticks since boot, None if hidden. `since`, `beat`: Unix seconds.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    user: str
    host: str
    machine: str
    pid: int
    started: int | None
    since: float
    beat: float

    def alive(self, expiry: float) -> bool:
        """Whether it is still running or, if that is not visible from here, had a heartbeat within `expiry` seconds."""
        if self.machine != this_machine():
            return abs(time.time() - self.beat) <= expiry
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is running, as another user
        return self.started is None or start_time(self.pid) in (self.started, None)


def this_process(id_: str) -> Holder:
    """The calling process as a holder, with a heartbeat of now."""
    now = time.time()
    pid = os.getpid()
    return Holder(
        id=id_,
        user=user_name(),
        host=socket.gethostname(),
        machine=this_machine(),
        pid=pid,
        started=start_time(pid),
        since=now,
        beat=now,
    )


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def this_machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it does not exist, is hidden, or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]) if fields[0] not in "ZX" else 0
