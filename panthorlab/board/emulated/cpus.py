# SPDX-License-Identifier: GPL-2.0-or-later
"""A host CPU for each running board, so that two boards do not share one while another is idle."""

from __future__ import annotations

import fcntl
import itertools
import os
from pathlib import Path
from typing import Self

from panthorlab.paths import cache_dir


class CpuLease:
    """One of the CPUs that this process may use, held by a file lock until `release` or the end of the process.

    When every CPU has a board, CPUs are handed out once more, so that boards share them evenly: it is the one with the
    fewest boards.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.cpu, self._fd = _take(folder or cache_dir("locks"))

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _take(folder: Path) -> tuple[int, int]:
    with (folder / "cpus").open("a") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)
        # From the last CPU down, because the first one serves most interrupts.
        cpus = sorted(os.sched_getaffinity(0), reverse=True)
        cpu = min(cpus, key=lambda one: _boards_on(folder, one))
        for place in itertools.count():
            if (fd := _lock(folder / f"cpu-{cpu}-{place}")) >= 0:
                return cpu, fd
    raise AssertionError("count() never ends")


def _boards_on(folder: Path, cpu: int) -> int:
    fds = [_lock(place) for place in folder.glob(f"cpu-{cpu}-*")]
    for fd in fds:
        if fd >= 0:
            os.close(fd)
    return fds.count(-1)


def _lock(place: Path) -> int:
    """The open file, locked; -1 if somebody else has the lock."""
    fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd
