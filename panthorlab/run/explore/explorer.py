# SPDX-License-Identifier: GPL-2.0-or-later
"""One exploration: which boots are made, what they show, and when it is enough."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.calls import DriverCode
from panthorlab.errors import LabError, UsageError
from panthorlab.run import fleet
from panthorlab.run.controller import Controller
from panthorlab.run.explore.aim import late
from panthorlab.run.explore.dry import Aims, DryRun, aims_at_blocks, aims_at_gaps
from panthorlab.run.explore.orders import OrdersFile
from panthorlab.run.explore.plan import Portion, Schedule, dry_run, index_of, late_runs, slots
from panthorlab.run.explore.points import pair
from panthorlab.run.explore.strategies import AIMED
from panthorlab.run.explore.tally import Explored
from panthorlab.run.explore.tell import Aimed
from panthorlab.run.job import Job
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.plan import Slot, progress_of
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BoardUp, Event, Iteration, Note, OfBoot, Settings
from panthorlab.run.record.log import EventLog, read_events

AT_ONCE: Final = 64
"""Boots that are planned at a time."""


NOT_BEGUN: Final = (
    "the time was over before anything was explored, for iterations were still made that show what there is to move; "
    "the same --output goes on"
)


class EnoughError(Exception):
    """What was looked for is there; stops the boots that still run."""


@dataclass
class Explorer:
    """One exploration. `seeds`: how many at most; None: until `seconds` are over. `until_found`: stop at a finding.
    `code`: of the driver, if its blocks are to be aimed at."""

    run_dir: Path
    log: EventLog
    settings: Settings
    board: Board
    jobs: Callable[[Slot], Job]
    tally: Explored
    progress: ProgressDisplay
    seeds: int | None
    seconds: float | None
    until_found: bool
    kinds: tuple[str, ...] = ()
    code: DriverCode | None = None

    def __post_init__(self) -> None:
        self._events = read_events(self.run_dir)
        self._schedule: Schedule | None = None
        self._begin = time.monotonic()
        self._early: list[Portion] = []
        self._portions: dict[int, Portion] = {}
        self._lock = threading.Lock()

    def explore(self) -> None:
        """Until there is enough. What boots have shown before is counted again first."""
        try:
            with time_limit(self.seconds):
                self._schedule = self._plan()
                self._recorded(self._schedule.first)
                index = self._schedule.first
                while not self._schedule.ended(index) and (count := self._left(index)):
                    self._boot(index, count)
                    index += count
        except EnoughError:
            pass
        except TimeLimitReached:
            if self._schedule is None and not self.tally.found:
                self.tally.unjudged.append(NOT_BEGUN)

    @property
    def aimed(self) -> Aimed:
        """What is aimed at, as far as that is known."""
        return Aimed(self._schedule.aims if self._schedule is not None else {}, self.code)

    def _left(self, index: int) -> int:
        """How many boots are still wanted, from boot `index` on."""
        if self.seeds is None:
            return AT_ONCE
        return AT_ONCE if any(self.portion(index + turn).count for turn in range(AT_ONCE)) else 0

    # -- boots ----------------------------------------------------------------------------------------------------

    def _plan(self) -> Schedule:
        """From the dry runs, which are made first if they are not on record."""
        named, chosen = self.settings.workload, self.settings
        dry = self._dry([dry_run(named[0] if len(named) == 1 else None, code=self.code is not None)])
        if named and not dry:
            raise UsageError(f"these suites have no workload {', '.join(named)}", hint="leave out --workload to see")
        if not dry:
            raise LabError(
                "the dry run has shown no iteration whose interleaving is known", hint=f"see {self.run_dir / 'boots'}"
            )
        if unknown := [name for name in named if name not in dry]:
            raise UsageError(f"these suites have no workload {', '.join(unknown)}", hint=f"they have {', '.join(dry)}")
        if len(dry) > 1:
            dry = self._dry([dry_run(name, code=self.code is not None) for name in dry])
        orders = {name: one.order for name, (one, *_) in dry.items()}
        aims = self._aims({name: one for name, (one, *_) in dry.items()}) if AIMED in chosen.strategy else None
        return Schedule(orders, chosen.strategy, chosen.seed, len(self._early), self.kinds, aims)

    def _aims(self, dry: Mapping[str, DryRun]) -> Aims:
        """What is aimed at. To find which blocks of the driver that can be, boots are made."""
        code, seed, between = self.code, self.settings.seed, pair(self.settings.between)
        if code is None:
            return aims_at_gaps(dry, seed, self.kinds, between)
        events = {
            name: late(one.order, seed=seed, kinds=self.kinds, between=one.bounds(code, between))
            for name, one in dry.items()
        }
        made = self._dry([run for name, one in dry.items() for run in late_runs(name, one.order.window, events[name])])
        return aims_at_blocks(events, made, code, seed, between)

    def _dry(self, portions: Sequence[Portion]) -> dict[str, list[DryRun]]:
        """Make these boots as well, if they are not on record; their iterations, by workload."""
        first = len(self._early)
        self._early += portions
        self._recorded(first, len(self._early))
        self._boot(first, len(portions))
        found: dict[str, list[DryRun]] = {}
        for event in self._events:
            if isinstance(event, Iteration) and not event.cut and first <= index_of(event.slot) < len(self._early):
                log_dir = self.run_dir / "boots" / event.boot
                orders = OrdersFile(log_dir).of(event.id)
                found.setdefault(event.workload, []).extend(DryRun(log_dir, one) for one in orders)
        return {name: runs for name, runs in found.items() if runs}

    def portion(self, index: int, done: int = 0) -> Portion:
        """What boot `index` does. `done`: so many of its iterations were before it was interrupted."""
        if index < len(self._early):
            return self._early[index].after(done)
        if self._schedule is None:
            raise LookupError(f"boot {index} is not planned yet")
        for boot in range(self._schedule.first + len(self._portions), index + 1):
            portion = self._schedule.portion(boot)
            if self.seeds is not None:
                left = self.seeds - sum(one.count for one in self._portions.values())
                portion = replace(portion, count=max(0, min(portion.count, left)))
            self._portions[boot] = portion
        return self._portions[index].after(done)

    def _job(self, slot: Slot) -> Job:
        done = sum(progress_of(slot, list(self._events)).done.values())
        portion, job = self.portion(slot.index, done), self.jobs(slot)
        named = self.settings.workload or None
        return replace(
            job,
            index=0,
            seed=portion.seed,
            iterations=portion.count,
            at_most=portion.count if portion.dry else None,
            workloads=(portion.workload,) if portion.workload is not None else named,
            plain_tests=False,
            params={**job.params, **portion.params},
        )

    def _boot(self, first: int, count: int) -> None:
        wanted = [slot for slot in slots(first, count, self.board.key) if self.portion(slot.index).count]
        lanes = fleet.lanes([self.board], self.settings)
        Controller(self.log, self.run_dir, self._events, self._job, lanes=lanes, progress=self._hear).run(wanted)

    # -- what they show -------------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        """An event of a boot, in the thread of its lane."""
        if isinstance(event, BoardUp) and event.facts.get("time") != TimeName.EXACT:
            raise LabError(
                f"board {event.name} lives in the host's time: {event.facts.get('time_why')}",
                hint="an exploration needs exact time; `panthorlab doctor` says what is missing",
            )
        self._count(event)
        seen, running = self.tally, time.monotonic() - self._begin
        if isinstance(event, Iteration):
            self.progress.live(
                f"exploring for {running:.0f} s: {seen.seeds} seeds, {seen.distinct} interleavings, "
                f"{len(seen.found)} findings"
            )
        elif not isinstance(event, OfBoot) or isinstance(event, Note):
            self.progress.event(event)
        self._check()

    def _recorded(self, first: int, end: int | None = None) -> None:
        """Count what boots from `first` up to before `end` have shown, as far as it is on record."""
        for event in list(self._events):
            if isinstance(event, OfBoot) and event.slot and first <= index_of(event.slot) < (end or math.inf):
                self._count(event)
        self._check()

    def _count(self, event: Event) -> None:
        if isinstance(event, OfBoot) and event.slot:
            portion = self.portion(index_of(event.slot))
            with self._lock:
                self.tally.event(event, portion)

    def _check(self) -> None:
        """Raises EnoughError."""
        if self.until_found and self.tally.found:
            raise EnoughError
