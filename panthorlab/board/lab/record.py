# SPDX-License-Identifier: GPL-2.0-or-later
"""A board's record in the lab directory: read at any time, changed by one process at a time, replaced atomically."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from panthorlab.board.lab.place import lab_dir, share
from panthorlab.board.lab.process import Holder
from panthorlab.errors import LabError

LOCK_DEADLINE: Final = 20.0
"""Seconds to wait for another process's change, which takes milliseconds."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]{0,199}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class LeaseRecord(_Part):
    """The lease of a run: `run` names the run, `holders` are its processes. Times are Unix seconds.

    `taken_over`: the owner of the stale lease that this one replaced; empty if none.
    """

    run: str
    run_dir: str
    since: float
    expiry: float
    holders: tuple[Holder, ...]
    despite_quarantine: bool = False
    taken_over: str = ""

    def living(self) -> tuple[Holder, ...]:
        return tuple(holder for holder in self.holders if holder.alive(self.expiry))

    def __str__(self) -> str:
        owner = self.holders[0]
        return f"{owner.user}@{owner.host} (process {owner.pid}) since {clock(self.since)}" + (
            f" for {self.run_dir}" if self.run_dir else ""
        )


class Quarantine(_Part):
    """Why a board must not be used, since when, and who quarantined it."""

    reason: str
    since: float
    by: str

    def __str__(self) -> str:
        return f"{self.reason} (since {clock(self.since)}, by {self.by})"


class Health(_Part):
    """The last health check."""

    time: float
    healthy: bool
    detail: str


class Record(_Part):
    """The lab's record of a board."""

    version: Literal[1] = 1
    lease: LeaseRecord | None = None
    quarantine: Quarantine | None = None
    health: Health | None = None


def clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def read(name: str) -> Record:
    """The record of board `name`. Raises LabError."""
    return _read(_path(name, "json"))


def update(name: str, change: Callable[[Record], Record]) -> Record:
    """Replace the record by `change(record)`; an exception from that leaves it unchanged. Raises LabError."""
    path = _path(name, "json")
    with _locked(_path(name, "lock")):
        old = _read(path)
        new = change(old)
        if new != old:
            _write(path, new)
    return new


def _path(name: str, suffix: str) -> Path:
    if not _NAME.fullmatch(name):
        raise LabError(f"`{name}` cannot be the name of a board", hint="letters, digits and _.,=+- only")
    return lab_dir() / f"{name}.{suffix}"


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Record()
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LabError(
            f"{path}: not a record of this version of panthorlab: {first['msg']}",
            hint="update panthorlab, or remove the file when nobody uses the board",
        ) from error


def _write(path: Path, record: Record) -> None:
    data = record.model_dump_json(indent=1).encode() + b"\n"
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                share(file.fileno(), path.parent)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}", hint="disk full, or no permission?") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the board's lock; the kernel releases it if this process dies."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}", hint="may you use this lab? ask its operator") from error
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            share(fd, path.parent)
        deadline = time.monotonic() + LOCK_DEADLINE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(
                        f"{path} has been locked for {LOCK_DEADLINE:g} s",
                        hint=f"a stopped process? `fuser {path}` says which",
                    ) from None
                time.sleep(0.005)
            except OSError as error:
                raise LabError(
                    f"{path} cannot be locked: {error.strerror}",
                    hint="the lab directory must be on a file system with flock(2)",
                ) from error
        yield
    finally:
        os.close(fd)
