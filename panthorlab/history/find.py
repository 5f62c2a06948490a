# SPDX-License-Identifier: GPL-2.0-or-later
"""Run directories below others, and whether somebody works on one now. Nothing is followed through a link."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.run.record.log import LARGEST

LOG: Final = "events.jsonl"
_DEEPEST: Final = 4
_OF_A_RUN: Final = frozenset({"boots", "patches", "coverage"})
"""Its own directories: no runs are in them."""


def run_dirs(roots: Iterable[Path]) -> list[Path]:
    """All directories with a log at or below `roots`, resolved, each once and in order. Raises UsageError for a root
    that is no directory."""
    found: dict[Path, None] = {}
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root} is no directory", hint="name one that has runs below it, `runs` for instance")
        found |= dict.fromkeys(_below(root.resolve(), 0))
    return list(found)


def _below(directory: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return  # not ours to read, or gone meanwhile
    is_run = any(entry.name == LOG for entry in entries)
    if is_run:
        yield directory
    if depth < _DEEPEST:
        for entry in entries:
            if not (is_run and entry.name in _OF_A_RUN) and entry.is_dir(follow_symlinks=False):
                yield from _below(directory / entry.name, depth + 1)


def stamp_of(run_dir: Path) -> str:
    """Changes when the log does. Raises OSError; also if the log is no regular file, or larger than any."""
    status = (run_dir / LOG).lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{LOG} is no regular file")
    if status.st_size > LARGEST:
        raise OSError(f"{LOG} has {status.st_size} bytes, more than any log")
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def busy(run_dir: Path) -> bool:
    """Whether a panthorlab writes the log of the run now. Raises OSError."""
    handle = os.open(run_dir / LOG, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def size_of(run_dir: Path) -> int:
    """Bytes that the run takes on the disk; what cannot be read counts nothing."""
    total = 0
    for directory, _, names in os.walk(run_dir):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512  # noqa: PTH118 - of many files
            except OSError:
                continue
    return total
