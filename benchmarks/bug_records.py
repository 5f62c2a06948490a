# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scoreboard has seen, one JSON object a line, and what follows from it: a row's state.

A record is of one run of some suites on one kernel. It counts as long as the suites are what they were (by digest) and
so is the kernel (by key); what changed is run again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.bug_faults import Fault, new
from panthorlab.errors import UsageError

CLEAN = "clean"
"""The row of the kernel without any patch."""


class Outcome(StrEnum):
    CLEAN = "clean"
    FAULTS = "faults"
    TIME_LIMIT = "time-limit"
    ERROR = "error"


class First(BaseModel):
    """The first fault of a run that the clean kernel does not have. `host`: seconds since its boot began. `guest`:
    the kernel's clock when the fault was known. `iterations`, `tests`: done until then."""

    model_config = ConfigDict(frozen=True)

    host: float
    guest: float | None
    iterations: int
    tests: int


class Record(BaseModel):
    """`suites`: name → digest of those that were run. `arguments`: what else `panthorlab run` was given. `stopped`: it
    was ended at its first fault, and says nothing of the suites behind it. `seconds`: of host time, without the build.
    `panthorlab`: the commit that ran them.
    """

    model_config = ConfigDict(frozen=True)

    row: str
    kernel: str
    base: str
    fragments: tuple[str, ...]
    suites: Mapping[str, str]
    arguments: tuple[str, ...]
    outcome: Outcome
    stopped: bool
    faults: tuple[Fault, ...]
    errors: tuple[str, ...]
    first: First | None
    seconds: float
    build_seconds: float
    run: str
    started: str
    panthorlab: str = "unknown"


class Records:
    """The file of results. What is added is on the disk when `add` returns. `others`: further ones, only read, as all
    of them are until something is added: somebody else may be writing."""

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        self.path = path
        self.all = [record for file in dict.fromkeys((path, *others)) for record in _read(file)]

    def add(self, record: Record) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            _cut(file)
            file.write(record.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.all.append(record)


def _cut(file: BinaryIO) -> None:
    """A last line without its end, which a kill or a full disk has left, goes before another one is added to it."""
    file.seek(0)
    data = file.read()
    file.truncate(data.rfind(b"\n") + 1)


def _read(path: Path) -> Iterable[Record]:
    """A last line without its end counts as never written."""
    if not path.exists():
        return
    data = path.read_bytes()
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].split(b"\n")[:-1], 1):
        try:
            yield Record.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(
                f"{path}:{number}: no record of the scoreboard: {error}",
                hint="take that line out of the file: what it said is run again",
            ) from None


def faults_of_clean(records: Iterable[Record], kernels: Collection[str]) -> set[tuple[str, ...]]:
    """Everything that was ever seen on the kernel without the bug, under whatever suites: a test that cannot be relied
    on must not count."""
    return {
        fault.key for record in records if record.row == CLEAN and record.kernel in kernels for fault in record.faults
    }


class Result(StrEnum):
    """`OPEN`: not everything was run yet."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    ERROR = "error"
    OPEN = "open"


class State(BaseModel):
    """What is known of a row. `by`: the record and the fault that show it. `ran`: all records that were looked at.
    `missing`: the suites still to be run. `unchecked`: those still to be run on the kernel without the bug, before what
    they have shown counts."""

    model_config = ConfigDict(frozen=True)

    result: Result
    by: tuple[Record, Fault] | None = None
    ran: tuple[Record, ...] = ()
    missing: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    seconds: float = 0.0
    limited: bool = False


def state_of(
    row: str,
    kernels: Collection[str],
    cleans: Collection[str],
    suites: Mapping[str, str],
    arguments: Sequence[str],
    records: Sequence[Record],
    by: Sequence[str] = (),
) -> State:
    """Of a row whose kernel has one of the keys `kernels`, with `suites` as they are now; `cleans`: those of its clean
    kernel. `by`: the suites of which alone a fault counts; empty: any. A fault counts if its suites have run to their
    end on the clean kernel, and it was not seen there."""
    mine = [
        record
        for record in records
        if record.row == row and record.kernel in kernels and record.arguments == tuple(arguments)
    ]
    known = faults_of_clean(records, cleans)
    seconds = sum(record.seconds for record in mine)
    checks = [
        record
        for record in records
        if record.row == CLEAN and record.kernel in cleans and record.arguments == tuple(arguments)
    ]
    unchecked: tuple[str, ...] = ()
    for record in mine:
        for fault in new(record.faults, known, by):
            if record.outcome is Outcome.FAULTS and _is_current(record, fault, suites):
                lacking = _unchecked(suites_of(record, fault), checks)
                if not lacking:
                    return State(result=Result.SHOWN, by=(record, fault), ran=tuple(mine), seconds=seconds)
                unchecked = unchecked or lacking
    if unchecked:
        errors = tuple(
            f"{', '.join(record.suites)} on the kernel without the bug: {_why(record)}"
            for record in checks
            if record.outcome is Outcome.ERROR and not record.suites.keys().isdisjoint(unchecked)
        )
        result = Result.ERROR if errors else Result.OPEN
        return State(result=result, ran=tuple(mine), unchecked=unchecked, errors=errors, seconds=seconds)
    return _not_shown(mine, suites, seconds)


def _not_shown(mine: Sequence[Record], suites: Mapping[str, str], seconds: float) -> State:
    """Of a row that none of its records shows."""
    done, failed, limited = set[str](), dict[str, str](), False
    for record in mine:
        current = {name for name, digest in record.suites.items() if suites.get(name) == digest}
        if record.outcome is Outcome.ERROR:
            failed |= dict.fromkeys(current, _why(record))
        elif _has_ended(record):
            done |= current
            limited = limited or (record.outcome is Outcome.TIME_LIMIT and bool(current))
    missing = tuple(name for name in suites if name not in done)
    if not missing:
        return State(result=Result.NOT_SHOWN, ran=tuple(mine), seconds=seconds, limited=limited)
    errors = tuple(f"{name}: {failed[name]}" for name in missing if name in failed)
    result = Result.ERROR if errors else Result.OPEN
    return State(result=result, ran=tuple(mine), missing=missing, errors=errors, seconds=seconds)


def _why(record: Record) -> str:
    return record.errors[0] if record.errors else "no reason given"


def _has_ended(record: Record) -> bool:
    """Whether it speaks of all its suites. One that the time limit has ended does so if it had a single one: of several
    the last may never have begun."""
    if record.outcome is Outcome.TIME_LIMIT:
        return len(record.suites) == 1
    return record.outcome is not Outcome.ERROR and not record.stopped


def _unchecked(suites: Mapping[str, str], checks: Iterable[Record]) -> tuple[str, ...]:
    """Those of a fault that have not run, as they are now, on the kernel without the bug."""
    ran = {item for record in checks if _has_ended(record) for item in record.suites.items()}
    return tuple(name for name, digest in suites.items() if (name, digest) not in ran)


def suites_of(record: Record, fault: Fault) -> dict[str, str]:
    """That of the fault; all of the run if it is not known, as it may be any of them."""
    mine = {name: digest for name, digest in record.suites.items() if name.replace("-", "_") == fault.suite}
    return mine or dict(record.suites)


def _is_current(record: Record, fault: Fault, suites: Mapping[str, str]) -> bool:
    return all(suites.get(name) == digest for name, digest in suites_of(record, fault).items())
