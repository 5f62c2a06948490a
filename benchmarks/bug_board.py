# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out the scoreboard's rows: build a kernel with the bug, run the suites on it, record what came of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final

from benchmarks.bug_faults import Fault, judge, new
from benchmarks.bug_records import CLEAN, First, Outcome, Record, Records, Result, State, faults_of_clean, state_of
from benchmarks.bug_rows import Row
from benchmarks.bug_runs import Events, Ran, digest, run
from panthorlab.files import read_object
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.job import DEFAULT_FRAGMENTS, build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.run.record import BootEnd, BootStart, Iteration, StrayEvent, Tested
from panthorlab.run.summary import NO_END
from panthorlab.run.survey import survey
from panthorlab.run.variants import DEBUG, needed

_JUDGED: Final = (Tested, Iteration, StrayEvent, BootEnd)


@dataclass(frozen=True)
class Settings:
    """`base`: of the rows that name none. `deep`: rows that need one on a debug kernel. `everything`: beyond the first
    fault, each suite on its own boot. `limit`: seconds for a run. `clean`: runs of the kernels without a bug.
    `arguments`: further ones of `panthorlab run`. `version`: the commit of panthorlab. `debug`: the fragments of the
    debug kernel."""

    results: Path
    suites: Mapping[str, Path]
    base: str | None = None
    deep: bool = False
    everything: bool = False
    limit: float = 600.0
    clean: int = 1
    arguments: tuple[str, ...] = ()
    version: str = "unknown"
    debug: tuple[str, ...] = DEBUG


@dataclass(frozen=True)
class Built:
    """A row's kernel, and the one without the bug. `seconds`: what building took."""

    row: Row
    kernel: Kernel
    clean: Kernel
    base: str
    fragments: tuple[str, ...]
    seconds: float


@dataclass
class Board:
    """`kernels`: those without a bug, title → key. `stop`: set it, and runs end at once and leave no record."""

    settings: Settings
    records: Records
    kernels: dict[str, str] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.digests = {name: digest(file) for name, file in self.settings.suites.items()}
        self.askers = asking(self.settings.suites)
        self._cleans: dict[tuple[str | None, tuple[str, ...]], SidePlan] = {}
        self._lock = Lock()

    # -- kernels

    def plan(self, row: Row, *, deep: bool) -> tuple[SidePlan, SidePlan]:
        """A row's kernel, and the one without the bug; nothing is built. `deep`: if it needs fragments, that kernel of
        `validate --deep` which has them. Raises PanthorlabError: the patch does not fit."""
        fragments = (*DEFAULT_FRAGMENTS, *(needed(row.needs, self.settings.debug) if deep else ()))
        base = row.base or self.settings.base
        if (base, fragments) not in self._cleans:
            self._cleans[base, fragments] = prepare_kernel(base, (), fragments=fragments)
        clean = self._cleans[base, fragments]
        extra = ", ".join(fragments[len(DEFAULT_FRAGMENTS) :])
        self.kernels[f"{clean.base.title} with {extra}" if extra else clean.base.title] = clean.key
        return prepare_kernel(base, [str(row.patch)], fragments=fragments), clean

    def build(self, row: Row) -> Built:
        """Raises PanthorlabError: the patch does not fit, or does not build."""
        plan, without = self.plan(row, deep=self.settings.deep)
        clean = build_side(without, log=self._build_log)
        begin = time.monotonic()
        kernel = build_side(plan, log=self._build_log)
        fragments = tuple(path.stem for path in plan.fragments)
        return Built(row, kernel, clean, without.base.title, fragments, time.monotonic() - begin)

    @property
    def _build_log(self) -> Path:
        return self.settings.results.with_name("build.log")

    # -- runs

    def known(self, row: Row, every: Mapping[str, str], keys: Mapping[str, Collection[str]]) -> State:
        """What is on record of a row; nothing is built or run. If it is not shown by the suites of these settings, then
        what all of `every` (name → digest), or one that shows it, have said on the kernel that the row needs. Also of
        kernels with other workload programs: `keys` of a kernel without them (`core_keys`). Raises as `plan`."""
        plan, clean = self.plan(row, deep=self.settings.deep)
        state = self._state(row, keys.get(plan.core_key, ()), keys.get(clean.core_key, ()), self.digests)
        if state.result is Result.SHOWN or not row.needs or self.settings.deep:
            return state
        plan, clean = self.plan(row, deep=True)
        deep = self._state(row, keys.get(plan.core_key, ()), keys.get(clean.core_key, ()), every)
        return deep if deep.result in (Result.SHOWN, Result.NOT_SHOWN) else state

    def _state(self, row: Row, kernels: Collection[str], cleans: Collection[str], suites: Mapping[str, str]) -> State:
        return state_of(row.id, kernels, cleans, suites, self.settings.arguments, self.records.all, row.shown_by)

    def _state_of(self, built: Built) -> State:
        return self._state(built.row, {built.kernel.key}, {built.clean.key}, self.digests)

    def play(self, built: Built) -> State:
        """Run what is missing of a row; what the lab failed, once more with each suite on its own."""
        for alone in (self.settings.everything, True):
            state = self._checked(built)
            if state.result is Result.SHOWN and not self.settings.everything:
                break
            for names in groups(self.settings.suites, state.missing, alone=alone, first=self._askers(built)):
                record = self._run(built, built.row.id, built.kernel, names, built.row.shown_by)
                shown = record.outcome is Outcome.FAULTS and self._is_new_still(built, record)
                if shown and not self.settings.everything:
                    break
        return self._checked(built)

    def _checked(self, built: Built) -> State:
        """What is known of a row. What was seen, and has not run on the kernel without the bug, as after a kill or an
        error of the lab, is run there first."""
        for alone in (False, True):
            unchecked = self._state_of(built).unchecked
            if alone and len(unchecked) == 1:
                break
            for names in groups(self.settings.suites, unchecked, alone=alone):
                self._run(built, CLEAN, built.clean, names)
        return self._state_of(built)

    def _askers(self, built: Built) -> Collection[str]:
        """The suites with a test that asks for a kernel like this one."""
        needs = set(built.row.needs) & set(built.fragments)
        return [name for name, fragments in self.askers.items() if fragments & needs]

    def _is_new_still(self, built: Built, record: Record) -> bool:
        """Whether a fault is still one after its suite has run on the kernel without the bug, just now."""
        by = built.row.shown_by
        fresh = new(record.faults, faults_of_clean(self.records.all, {built.clean.key}), by)
        if not fresh:
            return False
        names = [name for name in record.suites if name.replace("-", "_") == fresh[0].suite] or list(record.suites)
        self._run(built, CLEAN, built.clean, names)
        return bool(new(record.faults, faults_of_clean(self.records.all, {built.clean.key}), by))

    def play_clean(self, built: Built) -> None:
        """The kernel without the bug, with every suite: what it is blamed for does not count."""
        while self._clean_runs(built) < self.settings.clean:
            if self._run(built, CLEAN, built.clean, list(self.settings.suites)).outcome is Outcome.ERROR:
                break

    def _clean_runs(self, built: Built) -> int:
        return sum(
            record.row == CLEAN
            and record.kernel == built.clean.key
            and dict(record.suites) == self.digests
            and record.outcome is not Outcome.ERROR
            and record.arguments == self.settings.arguments
            for record in self.records.all
        )

    def _run(self, built: Built, row: str, kernel: Kernel, names: Sequence[str], by: Sequence[str] = ()) -> Record:
        known = faults_of_clean(self.records.all, {built.clean.key})

        def enough(events: Events) -> bool:
            if row == CLEAN or self.settings.everything:
                return False
            return bool(new(judge(events, whole=False).faults, known, by))

        started = datetime.now(UTC)
        directory = self.settings.results.parent / "runs" / f"{row}-{started:%Y%m%d-%H%M%S-%f}"
        ran = run(
            kernel.key,
            {name: self.settings.suites[name] for name in names},
            directory,
            limit=self.settings.limit,
            arguments=self.settings.arguments,
            enough=enough,
            stop=self.stop,
        )
        record = Record(
            row=row,
            kernel=kernel.key,
            base=built.base,
            fragments=built.fragments,
            suites={name: self.digests[name] for name in names},
            arguments=self.settings.arguments,
            stopped=ran.stopped,
            seconds=round(ran.seconds, 1),
            build_seconds=0.0 if row == CLEAN else round(built.seconds, 1),
            run=directory.name,
            started=started.isoformat(timespec="seconds"),
            panthorlab=self.settings.version,
            **came_of(ran, known, by),
        )
        with self._lock:
            self.records.add(record)
        told = "; ".join([*(f"{fault.by}: {fault.text}" for fault in record.faults[:1]), *record.errors[:1]])
        print(f"{row:32} {record.outcome:10} {record.seconds:6.1f} s  {told[:110]}", flush=True)
        return record


def asking(suites: Mapping[str, Path]) -> dict[str, set[str]]:
    """The fragments that tests of each suite ask for; suites that ask for none are left out."""
    asked: dict[str, set[str]] = {}
    for need in survey(suites.values()):
        if need.kernel:
            asked.setdefault(need.suite, set()).update(need.kernel)
    return asked


def core_keys() -> dict[str, set[str]]:
    """The keys of the store's kernels that differ in their workload programs alone, by the key without those."""
    keys: dict[str, set[str]] = {}
    for path in store.directories():
        if (data := read_object(path / store.RECORD)) is not None and "core_key" in data:
            keys.setdefault(data["core_key"], set()).add(path.name)
    return keys


def groups(
    suites: Mapping[str, Path], names: Iterable[str], *, alone: bool, first: Collection[str] = ()
) -> list[list[str]]:
    """The suites that share a boot: those of `first`, those of single calls and jobs, then those that iterate, which
    take longer."""
    names = list(names)
    if alone:
        return [[name] for name in sorted(names, key=lambda name: name not in first)]
    iterating = {name for name, file in suites.items() if "iterate" in file.read_text()}
    turns = {name: 0 if name in first else 1 if name not in iterating else 2 for name in names}
    thirds = [[name for name in names if turns[name] == turn] for turn in range(3)]
    return [third for third in thirds if third]


def came_of(ran: Ran, known: set[tuple[str, ...]], by: Sequence[str] = ()) -> dict[str, Any]:
    """What a run says, as fields of its record. An error of the lab is neither a fault nor clean. That there was no
    time left is one, too, if the run had not booted, or the lab had failed before."""
    judged = judge(ran.events, whole=not ran.stopped)
    if judged.status == 1:
        fresh = new(judged.faults, known, by) or list(judged.faults)
        return {"outcome": Outcome.FAULTS, "faults": judged.faults, "errors": (), "first": first_of(ran, fresh[0])}
    if judged.status == 0:
        return {"outcome": Outcome.CLEAN, "faults": (), "errors": (), "first": None}
    errors = judged.errors or (f"panthorlab run ended with status {ran.status}: {ran.output[-300:]}",)
    booted = any(isinstance(event, BootStart) for event in ran.events)
    kind = Outcome.TIME_LIMIT if ran.limited and booted and errors == (NO_END,) else Outcome.ERROR
    return {"outcome": kind, "faults": (), "errors": errors, "first": None}


def first_of(ran: Ran, fault: Fault) -> First:
    """When the fault was on record: at the first event whose judgement has it."""
    at = len(ran.events)
    for number, event in enumerate(ran.events, 1):
        if isinstance(event, _JUDGED) and fault.key in {
            each.key for each in judge(ran.events[:number], whole=False).faults
        }:
            at = number
            break
    before = ran.events[:at]
    start = next((event.time for event in ran.events if isinstance(event, BootStart)), before[0].time)
    return First(
        host=round(before[-1].time - start, 1),
        guest=None if ran.guest is None else round(ran.guest, 1),
        iterations=sum(isinstance(event, Iteration) for event in before),
        tests=sum(isinstance(event, Tested) for event in before),
    )
