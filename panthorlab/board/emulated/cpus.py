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

    When every CPU has a board, CPUs are handed out once more, so that boards share them evenly.
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
    # From the last CPU down, because the first one serves most interrupts.
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    for round_, cpu in ((round_, cpu) for round_ in itertools.count() for cpu in cpus):
        fd = os.open(folder / f"cpu-{cpu}-{round_}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        return cpu, fd
    raise AssertionError("count() never ends")
