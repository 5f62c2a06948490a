# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that survive a power cut whole, JSON that may be damaged, disks that are full, and locks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panthorlab.errors import LabError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a write says when there is no room: of the file system, of a quota, of `ulimit -f`."""

UNREADABLE = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ELOOP,
})  # fmt: skip
"""What reading a file says that is damaged, or not there; other errors say nothing about the file."""

MACHINE = FULL | {
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.ENAMETOOLONG,
}
"""What the machine can do to any write or fork; not worth a traceback."""

LOCK_SECONDS = 3600.0
_POLL_SECONDS = 0.2


def disk_full(detail: str) -> LabError:
    return LabError(
        f"the disk is full: {detail}",
        hint="free some space (`panthorlab doctor` says what the cache takes), or set XDG_CACHE_HOME and --output",
    )


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk met by our own writes into the LabError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(str(error)) from error
        raise


@contextmanager
def exclusive(path: Path, what: str, on_wait: Callable[[], object], timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Only one process at a time is within. The lock goes with the process, however it ends.

    `what` it keeps, for people; `on_wait` is called once if another has it. Raises LabError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    with path.open("a") as file:
        noted = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(
                        f"another run has kept {what} for more than {timeout:g} s", hint="wait for it, or stop it"
                    ) from None
                if not noted:
                    on_wait()
                    noted = True
                time.sleep(_POLL_SECONDS)
        yield


def write_whole(path: Path, data: str | bytes) -> None:
    """Replace `path`, at once and for good: after a crash it has the old content or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_below(directory: Path) -> None:
    """`sync` of everything in `directory`, and of itself."""
    for path in directory.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(directory)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no such file, or something else in it: damage is no reason to fail
    where the file can be made again."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def digest(parts: Iterable[object]) -> str:
    """One hexadecimal number for plain values in their order; their texts may be file names that are no Unicode."""
    return hashlib.sha256(repr(list(parts)).encode("utf-8", "surrogateescape")).hexdigest()


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
