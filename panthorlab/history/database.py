# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of runs, in SQLite, so that a log is read once. Derived: it may be deleted at any time.

One process at a time writes it (a lock beside it says so), others read what was committed last. A database that is
damaged, or of another version, is made anew.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.files import FULL, disk_errors, disk_full, exclusive
from panthorlab.history.facts import ArmOnBoard, Judged, RunFacts, SignatureCount, State, facts_of
from panthorlab.history.find import LOG, stamp_of

FILE: Final = "history.sqlite"
VERSION: Final = 2
_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_BUSY_SECONDS: Final = 60.0
_TOGETHER: Final = 100
"""Runs in one transaction: a kill -9 loses no more than these, and each costs a write to the disk."""
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def _nothing() -> None:
    """Nobody is told."""


def update(
    directory: Path, run_dirs: Sequence[Path], *, rebuild: bool = False, on_wait: Callable[[], object] = _nothing
) -> None:
    """Bring the database in `directory` to what `run_dirs` have now. Runs whose directories are gone are forgotten;
    those below other directories stay. Raises LabError, UsageError."""
    lock = directory / f".{FILE}.lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.open("a").close()
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(str(error)) from error
        raise UsageError(f"--output {directory}: {error.strerror}", hint="choose another directory") from error
    with disk_errors(), exclusive(lock, "the history", on_wait):
        if rebuild:
            _remove(directory)
        try:
            _update(directory, run_dirs)
        except sqlite3.DatabaseError as error:
            if _code(error) not in _DAMAGE:
                raise _failed(error) from error
            _remove(directory)
            with _failures():
                _update(directory, run_dirs)


def _remove(directory: Path) -> None:
    for name in (FILE, f"{FILE}-journal"):
        (directory / name).unlink(missing_ok=True)


def _code(error: sqlite3.Error) -> int:
    """The primary one: the low byte of what SQLite gives."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _failed(error: sqlite3.Error) -> LabError:
    if _code(error) in _NO_ROOM:
        return disk_full(f"history: {error}")
    return LabError(f"history: {error}", hint="delete the database: it is made again from the runs")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _failed(error) from error


def _connect(directory: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(directory / FILE, timeout=_BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _update(directory: Path, run_dirs: Sequence[Path]) -> None:
    with closing(_connect(directory)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            _make(connection)
        known = {row[1]: (row[0], row[2]) for row in connection.execute("SELECT id, path, stamp FROM run")}
        gone = [number for path, (number, _) in known.items() if not Path(os.fsdecode(path), LOG).exists()]
        with _transaction(connection):
            connection.executemany("DELETE FROM run WHERE id = ?", [(number,) for number in gone])
        new = [run_dir for run_dir in run_dirs if _changed(run_dir, known.get(os.fsencode(run_dir), (0, ""))[1])]
        for begin in range(0, len(new), _TOGETHER):
            read = [facts_of(run_dir) for run_dir in new[begin : begin + _TOGETHER]]
            with _transaction(connection):
                for facts in read:
                    _store(connection, facts)


def _make(connection: sqlite3.Connection) -> None:
    """Tables of this version, instead of those of another."""
    old = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    drop = "".join(f'DROP TABLE "{name}";' for name in reversed(old) if not name.startswith("sqlite_"))
    script = _SCHEMA.read_text(encoding="utf-8")
    connection.executescript(f"BEGIN IMMEDIATE; {drop} {script} PRAGMA user_version = {VERSION}; COMMIT;")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _changed(run_dir: Path, stamp: str) -> bool:
    """A run that is not over is always read again: whether it still runs is in no log."""
    try:
        return not stamp or stamp_of(run_dir) != stamp
    except OSError:
        return True


def _store(connection: sqlite3.Connection, facts: RunFacts) -> None:
    path = os.fsencode(facts.path)
    connection.execute("DELETE FROM run WHERE path = ?", (path,))
    stamp = facts.stamp if facts.state in (State.ENDED, State.DAMAGED) else ""
    row = connection.execute(
        "INSERT INTO run (path, stamp, state, why, kind, verdict, exit, title, base, started, seconds, boots,"
        " boots_lost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            path, stamp, facts.state.value, facts.why, facts.kind, facts.verdict, facts.exit, facts.title, facts.base,
            facts.started, facts.seconds, facts.boots, facts.boots_lost,
        ),
    ).lastrowid  # fmt: skip
    ids = _Ids(connection)
    tallies = [
        (row, what, ids.place(place), ids.name(name), tally.judged, tally.faulty, tally.lost)
        for what, own in enumerate((facts.workloads, facts.tests))
        for (place, name), tally in own.items()
    ]
    connection.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?)", tallies)
    sightings = [
        (row, ids.place(place), ids.name(workload), signature, own.kind, own.headline, own.times)
        for (place, workload, signature), own in facts.signatures.items()
    ]
    connection.executemany("INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)", sightings)


class _Ids:
    """Numbers of places and names, which are given when they are first seen."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._places: dict[ArmOnBoard, int] = {}
        self._names: dict[str, int] = {}

    def place(self, place: ArmOnBoard) -> int:
        if place not in self._places:
            self._connection.execute("INSERT OR IGNORE INTO place (arm, key, kernel, board) VALUES (?, ?, ?, ?)", place)
            found = self._connection.execute(
                "SELECT id FROM place WHERE arm = ? AND key = ? AND kernel = ? AND board = ?", place
            )
            (self._places[place],) = found.fetchone()
        return self._places[place]

    def name(self, name: str) -> int:
        if name not in self._names:
            self._connection.execute("INSERT OR IGNORE INTO name (name) VALUES (?)", (name,))
            (self._names[name],) = self._connection.execute("SELECT id FROM name WHERE name = ?", (name,)).fetchone()
        return self._names[name]


def read(directory: Path, run_dirs: Iterable[Path] | None = None) -> list[RunFacts]:
    """All runs on record, the oldest first; only those of `run_dirs` if given. Raises LabError."""
    wanted = None if run_dirs is None else {os.fsencode(run_dir) for run_dir in run_dirs}
    if not (directory / FILE).exists():
        return []
    with _failures(), closing(_connect(directory)) as connection, _transaction(connection):
        return list(_read(connection, wanted))


def _read(connection: sqlite3.Connection, wanted: set[bytes] | None) -> Iterator[RunFacts]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        return
    places = {row[0]: ArmOnBoard(*row[1:]) for row in connection.execute("SELECT * FROM place")}
    names = dict(connection.execute("SELECT id, name FROM name").fetchall())
    runs: dict[int, RunFacts] = {}
    for number, path, state, *rest in connection.execute(
        "SELECT id, path, state, stamp, why, kind, verdict, exit, title, base, started, seconds, boots, boots_lost"
        " FROM run ORDER BY started, path"
    ):
        if wanted is None or path in wanted:
            runs[number] = RunFacts(Path(os.fsdecode(path)), State(state), *rest)
    for number, what, place, name, judged, faulty, lost in connection.execute("SELECT * FROM tally"):
        if number in runs:
            own = runs[number].tests if what else runs[number].workloads
            own[places[place], names[name]] = Judged(judged, faulty, lost)
    for number, place, workload, signature, kind, text, times in connection.execute("SELECT * FROM sighting"):
        if number in runs:
            where = (places[place], names[workload], signature)
            runs[number].signatures[where] = SignatureCount(kind, text, times)
    yield from runs.values()
