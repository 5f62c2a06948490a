# SPDX-License-Identifier: GPL-2.0-or-later
"""The run directory and its append-only event log, from which verdict and reports are derived.

`events.jsonl` holds one JSON object per line: `{"event": NAME, "time": unix seconds, …}`, each with a checksum that
ties it to the line before (`lines`). Only one controller writes it (an exclusive lock says so); a line torn by
`kill -9` or power loss is cut off when the log is opened again, so that what follows stays readable and no event is
counted twice. Any other damage is said with its line: no run goes on after it, and a report of what can still be read
is an `error`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from panthorlab.errors import LabError, UsageError
from panthorlab.files import FULL
from panthorlab.run.record import lines
from panthorlab.run.record.base import Event
from panthorlab.run.record.lines import DamagedError
from panthorlab.run.record.runs import DamagedEvent, PhaseEvent, RunStart
from panthorlab.run.record.versions import as_json, events_of

E = TypeVar("E", bound=Event)
RUNS: Final = Path("runs")
"""Where runs go that nobody has named."""
LARGEST: Final = 1 << 30
"""Bytes of a log; 10,000 iterations have 10 MB."""


def run_name() -> str:
    """Of a run that nobody has named."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def new_run_dir(output: Path | None) -> Path:
    """Create the directory of a new run: `output`, or `./runs/DATE-TIME-xxxx`. Raises UsageError if it holds a run."""
    if output is None:
        output = RUNS / run_name()
    log, console = output / "events.jsonl", output / "console.log"  # a single command has no log of events
    try:
        if (log.exists() and b"\n" in log.read_bytes()) or console.exists():  # without a whole event, it never began
            raise UsageError(
                f"{output} already holds a run",
                hint=f"choose another --output; a validation goes on by `panthorlab resume {output}`",
            )
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {output}: {error.strerror}", hint="choose a directory that you may write to"
        ) from error
    return output.resolve()


class DamagedLogError(LabError):
    """A log that is not as it was written. `readable`: the events before the damage."""

    def __init__(self, path: Path, damage: DamagedError, readable: list[Event]) -> None:
        upto = f"the {damage.number - 1} lines before it can be read" if damage.number > 1 else "nothing can be read"
        super().__init__(
            f"{path}:{damage.number}: damaged event log: {damage}; {upto}",
            hint="start the run again, or restore the file; `panthorlab report` shows what can be read",
        )
        self.readable = readable


def read_events(run_dir: Path) -> list[Event]:
    """All whole events of a run, oldest first. Raises UsageError if there is no run in `run_dir`, or only a newer
    panthorlab can read it, and DamagedLogError."""
    path = run_dir / "events.jsonl"
    try:
        status = path.stat()  # a pipe would be waited for
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise UsageError(f"{path} is no event log: no file of at most 1 GiB", hint="name a directory below runs/")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"{run_dir}: no run here (events.jsonl is missing)", hint="name a directory below runs/"
        ) from None
    except NotADirectoryError:
        raise UsageError(f"{run_dir} is no run directory", hint="name a directory below runs/") from None
    events: list[tuple[int, Event]] = []
    try:
        events.extend(events_of(lines.decode(data.split(b"\n")[:-1])))
    except DamagedError as damage:
        readable = [event for number, event in events if number < damage.number]
        raise DamagedLogError(path, damage, readable) from None
    return [event for _, event in events]


def read_run(run_dir: Path) -> list[Event]:
    """As `read_events`, of a run that did start: its first event is `RunStart`. Raises UsageError, DamagedLogError."""
    return _of_run(run_dir, read_events(run_dir))


def read_what_is_left(run_dir: Path) -> list[Event]:
    """As `read_run`, but of a damaged log what comes before the damage, with a `DamagedEvent` at its end: no verdict
    but `error` can come of it. Raises DamagedLogError if not even the beginning is left."""
    try:
        return read_run(run_dir)
    except DamagedLogError as error:
        if not error.readable:
            raise
        events = _of_run(run_dir, error.readable)
        return [*events, DamagedEvent(time=events[-1].time, reason=str(error))]


def _of_run(run_dir: Path, events: list[Event]) -> list[Event]:
    if not events or not isinstance(events[0], RunStart):
        raise UsageError(f"{run_dir}: that run never started", hint="start it again")
    return events


def start_of(events: Sequence[Event]) -> RunStart:
    """The first event of a run."""
    start = events[0]
    assert isinstance(start, RunStart)  # noqa: S101 - `read_run` has seen to it
    return start


def is_validation(events: Sequence[Event]) -> bool:
    """Whether these are the events of a `validate` (else of a `run`)."""
    return start_of(events).options.expect is not None


class EventLog:
    """Writer of one run's events; holds the run's lock for as long as it is open. `FILE`, `BUSY`, `BUSY_HINT`, `AGAIN`
    (what goes on): for logs of something else than a run."""

    FILE: ClassVar[str] = "events.jsonl"
    BUSY: ClassVar[str] = "another panthorlab is working on this run"
    AGAIN: ClassVar[str] = "`panthorlab resume` this run (a bisect: `panthorlab bisect --resume`)"
    BUSY_HINT: ClassVar[str] = "wait until it has ended, or stop it; `panthorlab report` shows how far it is"

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / self.FILE
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}", hint="may you write to that directory?") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise UsageError(f"{run_dir}: {self.BUSY}", hint=self.BUSY_HINT) from None
        self._link = self._cut_torn_line()

    def _cut_torn_line(self) -> int:
        """What ties the next line to the last whole one."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self._fd, whole)
        return lines.link(data[:whole].rstrip(b"\n").rpartition(b"\n")[2])

    def append(self, event: E) -> E:
        """Write one event, and give it as it is on record. It is on its way to the disk when this returns, whole or not
        at all."""
        event = replace(event, time=round(time.time(), 3))
        data = lines.encode(as_json(event), self._link)
        before = os.fstat(self._fd)
        if before.st_nlink == 0:
            raise LabError(f"{self.path} was deleted during the run", hint="start the run again; nothing of it is left")
        try:
            if os.write(self._fd, data) < len(data):  # the disk became full in the middle
                os.ftruncate(self._fd, before.st_size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            what = "the disk is full: " if error.errno in FULL else ""
            raise LabError(
                f"{what}{self.path}: {error.strerror}", hint=f"free some space, then {self.AGAIN}"
            ) from error
        self._link = lines.link(data[:-1])
        return event

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record how long what is done within took, however it ends."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.append(PhaseEvent(name=name, seconds=round(time.monotonic() - start, 2)))

    def discard(self) -> None:
        """Forget a run that was refused before it did anything, so that its directory can be used again."""
        self.path.unlink()
        shutil.rmtree(self.path.with_name("patches"), ignore_errors=True)
        with contextlib.suppress(OSError):  # the user's own files are in it
            self.path.parent.rmdir()

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
