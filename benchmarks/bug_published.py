# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scoreboard says, as data beside the page: each row as it came out when it was last run, and on what.

A row that is run again takes the place of what was said of it; the others stay. So a part of the board can be renewed,
and each row says which panthorlab it is from, and whether the suite that showed it has changed since.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.bug_faults import Fault
from benchmarks.bug_records import CLEAN, Record, Result, State, suites_of
from panthorlab.errors import UsageError
from panthorlab.files import write_whole


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Data):
    """`suites`: name → digest of that which showed it, of all of the run if it cannot be said which, of all that were
    run if none has. `fragments`: of the kernel that ran them. `iterations`, `guest`, `host`: as of `First`.
    `panthorlab`: the commit that ran it. `patch`: the digest of the patch; empty where that was not kept yet."""

    result: Result
    by: str = ""
    iterations: int | None = None
    guest: float | None = None
    host: float | None = None
    text: str = ""
    suites: Mapping[str, str] = Field(default_factory=dict)
    fragments: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    panthorlab: str
    date: str
    patch: str = ""


class Alarm(_Data):
    """What a kernel without a bug was blamed for."""

    by: str
    text: str
    times: int


class Quiet(_Data):
    """Runs of one panthorlab on kernels without a bug. `seconds`: all of them together. `names`: of the runs, so that
    none counts twice; none where they were not kept yet."""

    runs: int
    seconds: float
    alarms: tuple[Alarm, ...] = ()
    names: tuple[str, ...] = ()


class Whole(_Data):
    """One run of all default suites on a kernel without a bug. `seconds`: by the clock. `functions`, `lines`: how many
    of the driver's were executed, of how many; None if that was not measured."""

    kernel: str
    date: str
    tests: int
    iterations: int
    seconds: float
    functions: tuple[int, int] | None = None
    lines: tuple[int, int] | None = None
    alarms: tuple[Alarm, ...] = ()


class Published(_Data):
    """`rows`: by id. `clean`: by the commit of panthorlab. `whole`: by when it began, its kernel and its seed.
    `unbuilt`: id → why its kernel could not be built when the row was last asked for; what `rows` has is older."""

    rows: Mapping[str, Row] = Field(default_factory=dict)
    clean: Mapping[str, Quiet] = Field(default_factory=dict)
    whole: Mapping[str, Whole] = Field(default_factory=dict)
    unbuilt: Mapping[str, str] = Field(default_factory=dict)


def read(path: Path) -> Published:
    """Nothing, if there is no such file. Raises UsageError for another one."""
    if not path.exists():
        return Published()
    try:
        return Published.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{path}: not what the scoreboard says: {error}", hint="take it out of git again") from None


def write(path: Path, published: Published) -> None:
    rows, whole = dict(sorted(published.rows.items())), dict(sorted(published.whole.items()))
    ordered = published.model_copy(update={"rows": rows, "whole": whole})
    write_whole(path, ordered.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def renew(
    old: Published,
    states: Mapping[str, State],
    records: Sequence[Record],
    *,
    needs: Mapping[str, Collection[str]],
    whole: Mapping[str, Whole] | None = None,
    patches: Mapping[str, str] | None = None,
) -> Published:
    """What is known now in the place of what was said of the same rows; of clean kernels, beside what was said of them.
    `needs`: the fragments without which a row is not shown. `whole`: runs that are new. `patches`: id → digest, as they
    are, and as they were when what is known now was run."""
    rows, unbuilt = dict(old.rows), dict(old.unbuilt)
    for name, state in states.items():
        unbuilt.pop(name, None)
        if state.result is Result.ERROR and not state.ran:
            unbuilt[name] = "; ".join(state.errors)
        if state.result is not Result.OPEN:
            row = _row(state, (patches or {}).get(name, ""))
            if row is not None and _displaces(row, rows.get(name), needs.get(name, ())):
                rows[name] = row
    return Published(rows=rows, clean=_quiet(old.clean, records), whole={**old.whole, **(whole or {})}, unbuilt=unbuilt)


def changed(rows: Mapping[str, Row], suites: Mapping[str, str]) -> dict[str, list[str]]:
    """Suite → the rows that it has shown and that it may not show any more, as it is another one now. `suites`: name →
    digest, as they are. Where it is not known which suite of a run has shown a row, nothing is said."""
    old: dict[str, list[str]] = {}
    for name, row in sorted(rows.items()):
        if row.result is not Result.SHOWN or len(row.suites) != 1:
            continue
        for suite, digest in row.suites.items():
            if suites.get(suite) != digest:
                old.setdefault(suite, []).append(name)
    return dict(sorted(old.items()))


def changed_patches(rows: Mapping[str, Row], patches: Mapping[str, str]) -> list[str]:
    """The rows whose patch is another one than that which was run. `patches`: id → digest, as they are."""
    return [name for name, row in sorted(rows.items()) if row.patch and patches.get(name) != row.patch]


def _displaces(row: Row, old: Row | None, needs: Collection[str]) -> bool:
    """An error of the lab says nothing of a kernel; nor does it that a bug is not shown without those suites that have
    shown it before, or on a kernel without a fragment that the last one had: what only lockdep can see, no other sees.
    Of which no fragments are on record, that is old, and had those that the bug needs."""
    if old is None or old.result is Result.ERROR or row.result is Result.SHOWN:
        return True
    if row.result is not Result.NOT_SHOWN or not set(old.fragments or needs) <= set(row.fragments):
        return False
    return old.result is not Result.SHOWN or old.suites.keys() <= row.suites.keys()


def _row(state: State, patch: str) -> Row | None:
    """None: it has no record of its own, as it could not be built."""
    if state.by is None:
        if not state.ran:
            return None
        ran = {suite: digest for record in state.ran for suite, digest in record.suites.items()}
        suites = {suite: digest for suite, digest in ran.items() if suite not in state.missing}
        text = "; ".join(state.errors) or ("the time limit was reached" if state.limited else "")
        last = max(state.ran, key=lambda record: record.started)
        return Row(result=state.result, text=text, suites=suites, patch=patch, **_origin(last))
    record, fault = state.by
    first = record.first
    return Row(
        result=state.result,
        by=fault.by,
        iterations=first.iterations if first else None,
        guest=first.guest if first else None,
        host=first.host if first else None,
        text=fault.text,
        suites=suites_of(record, fault),
        patch=patch,
        **_origin(record),
    )


def _origin(record: Record) -> dict[str, Any]:
    return {
        "panthorlab": record.panthorlab,
        "date": record.started[:10],
        "arguments": record.arguments,
        "fragments": record.fragments,
    }


def _quiet(old: Mapping[str, Quiet], records: Iterable[Record]) -> dict[str, Quiet]:
    by: dict[str, list[Record]] = {}
    for record in records:
        if record.row == CLEAN and record.run not in (old[record.panthorlab].names if record.panthorlab in old else ()):
            by.setdefault(record.panthorlab, []).append(record)
    new = {commit: _campaign(runs) for commit, runs in by.items()}
    return {**old, **{commit: _together(old.get(commit), quiet) for commit, quiet in new.items()}}


def _together(old: Quiet | None, new: Quiet) -> Quiet:
    """Of the same panthorlab. Where it is not known which runs were told of, those of `new` may be among them, and only
    what is more is taken; but no alarm is ever lost."""
    if old is None:
        return new
    join = operator.add if old.names else max
    times = {(alarm.by, alarm.text): alarm.times for alarm in old.alarms}
    for alarm in new.alarms:
        same = alarm.by, alarm.text
        times[same] = join(times.get(same, 0), alarm.times)
    return Quiet(
        runs=join(old.runs, new.runs),
        seconds=round(join(old.seconds, new.seconds), 1),
        alarms=tuple(Alarm(by=by, text=text, times=count) for (by, text), count in times.items()),
        names=(*old.names, *new.names),
    )


def _campaign(runs: Sequence[Record]) -> Quiet:
    seen: dict[tuple[str, ...], list[Fault]] = {}
    for record in runs:
        for fault in record.faults:
            seen.setdefault(fault.key, []).append(fault)
    alarms = tuple(Alarm(by=same[0].by, text=same[0].text, times=len(same)) for same in seen.values())
    names = tuple(record.run for record in runs)
    return Quiet(runs=len(runs), seconds=round(sum(record.seconds for record in runs), 1), alarms=alarms, names=names)
