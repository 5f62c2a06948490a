# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels and boots of a bisect: increments in one private tree, and boots as those of any run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final

from panthorlab.board.board import Board
from panthorlab.errors import LabError
from panthorlab.kernel import store
from panthorlab.kernel.build.reads import ReadFiles
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.increment import prepare_commit
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.gitrange import read_range
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.source.commits import History, Kinship, TreeChanges, changes_to, fingerprints, kinship
from panthorlab.kernel.source.git import reading
from panthorlab.run import fleet
from panthorlab.run.arms import Arm
from panthorlab.run.bisect.search import REVERTED, Made
from panthorlab.run.bisect.symptoms import observe
from panthorlab.run.controller import Controller
from panthorlab.run.jobs import Jobs
from panthorlab.run.plan import Slot
from panthorlab.run.planning import planned
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import ArmKernel, BisectBoot, BootEnd, BootStart, Event, Planned, Settings
from panthorlab.run.record.log import EventLog, read_events

LABEL: Final = 12
"""Digits of a commit's id in the names of boots."""
NO_BUILD: Final = "a bisect boots plain kernels alone: with --config FRAGMENT they are of that kind"


@dataclass
class Kernels:
    """Builds them, one at a time, in a thread of its own. `fragments`: of every kernel; `log`: of all builds; `near`:
    the commit in whose private tree they are built."""

    history: History
    fragments: Sequence[str]
    log: Path
    tell: Callable[[str], None]
    near: str
    reads: ReadFiles = field(default_factory=ReadFiles)
    culprit: str = ""
    _futures: dict[str, Future[tuple[Kernel, Made]]] = field(default_factory=dict)
    _wanted: SimpleQueue[str] = field(default_factory=SimpleQueue)
    _progress: Progress = quiet
    _lock: Lock = field(default_factory=Lock)

    def start(self) -> None:
        """The thread; it ends with the process, and so do its builds."""
        Thread(target=self._serve, name="builds", daemon=True).start()

    def get(self, target: str, progress: Progress) -> tuple[Kernel, Made]:
        """Waits for it. Raises what the build raised."""
        self._progress = progress
        try:
            future = self.expect(target)
            while True:
                try:
                    return future.result(timeout=0.5)  # Ctrl-C must get through
                except TimeoutError:
                    if future.done():
                        raise
        finally:
            self._progress = quiet

    def expect(self, target: str) -> Future[tuple[Kernel, Made]]:
        """Have it built when all before it are."""
        with self._lock:
            if target not in self._futures:
                self._futures[target] = Future()
                self._wanted.put(target)
            return self._futures[target]

    def forget(self, target: str) -> None:
        """It is another kernel from now on, or an error that may pass."""
        with self._lock:
            self._futures.pop(target, None)

    def _serve(self) -> None:
        while True:
            target = self._wanted.get()
            future = self._futures.get(target)
            if future is None:
                continue
            try:
                future.set_result(self._make(target))
            except BaseException as error:
                future.set_exception(error)

    def _make(self, target: str) -> tuple[Kernel, Made]:
        begin = time.monotonic()

        def progress(step: str, done: int | None = None, total: int | None = None, /) -> None:
            self._progress(step, done, total)

        repository = self.history.repository
        changes = self._changes(target)
        if changes is None:  # a link, a submodule: a tree of its own
            plan = prepare_kernel(f"{repository}@{target}", (), fragments=self.fragments, progress=progress)
        else:
            title = f"{target[:LABEL]} ({self._subject(target)})"
            plan, _ = prepare_commit(
                repository,
                self.history.bad,
                changes,
                near=self.near,
                title=title,
                fragments=self.fragments,
                progress=progress,
            )
        there = store.has(plan.key)
        kernel = build_side(plan, log=self.log, progress=progress, note=self.tell)
        objects = objects_of(plan)
        if objects.is_dir():
            self.reads.add(objects)
        return kernel, Made(kernel.key, 0.0 if there else time.monotonic() - begin)

    def _subject(self, target: str) -> str:
        if target == REVERTED:
            return f"without {self.culprit[:LABEL]}"
        return next((commit.subject for commit in self.history.commits if commit.id == target), "the good end")

    def _changes(self, target: str) -> TreeChanges | None:
        if target != REVERTED:
            return changes_to(self.history.repository, self.history.bad, target)
        return self.reverted()

    def reverted(self) -> TreeChanges:
        """What takes the culprit out of the tip. Raises PatchError."""
        repository, bad = self.history.repository, self.history.bad
        series = read_range(f"{self.culprit}^..{self.culprit}", repository)
        with reading(repository) as view:
            changes = apply_all(series.patches, lambda path: view.show(bad, path), bad[:LABEL], reverse=True)[1]
        return TreeChanges(changes)


@dataclass
class RealHands:
    """See `search.Hands`. `suites`: their files."""

    log: EventLog
    settings: Settings
    boards: Sequence[Board]
    suites: tuple[str, ...]
    kernels: Kernels
    progress: ProgressDisplay
    _kin: tuple[frozenset[str], Kinship] | None = None

    @property
    def run_dir(self) -> Path:
        return self.log.path.parent

    def revert(self, culprit: str) -> None:
        if self.kernels.culprit != culprit:
            self.kernels.forget(REVERTED)
        self.kernels.culprit = culprit
        self.kernels.reverted()

    def build(self, target: str) -> Made:
        try:
            kernel, made = self.kernels.get(target, self.progress.step)
        except LabError:
            self.kernels.forget(target)  # a resumed bisect, or the next test of it, may be luckier
            raise
        fleet.check_release(self.boards, kernel.release)
        self._on_record(target, kernel)
        return made

    def expect(self, targets: Sequence[str]) -> None:
        for target in targets:
            self.kernels.expect(target)

    def boot(self, target: str, numbers: Sequence[int]) -> Iterator[BisectBoot]:
        kernel, _ = self.kernels.get(target, quiet)
        arm = Arm(_label(target), kernel)
        events = read_events(self.run_dir)
        plan = planned(self.log, events, self.settings, [kernel], self.boards, no_build=NO_BUILD)
        jobs = Jobs(
            self.run_dir,
            self.settings,
            self.boards,
            self.suites,
            Planned(plain=plan.plain, variants=(), left_out=plan.left_out),
            {"": [arm]},
        )
        keys = [board.key for board in self.boards]
        slots = [Slot(arm.label, number, keys[number % len(keys)]) for number in numbers]
        Controller(
            self.log,
            self.run_dir,
            read_events(self.run_dir),
            # Each boot runs all iterations: boots are what is counted.
            lambda slot: replace(jobs(slot), index=0, boots=1),
            lanes=fleet.lanes(self.boards, self.settings),
            progress=self.progress.event,
        ).run(slots)
        events = read_events(self.run_dir)
        for slot in slots:
            seen = observe(events, slot.name)
            yield BisectBoot(
                commit=target,
                number=slot.index,
                symptoms=tuple(sorted(seen.symptoms)),
                blamed=tuple(sorted(seen.blamed)),
                error=seen.error,
                seconds=_seconds(events, slot.name),
            )

    def kinship(self) -> Kinship:
        """Anew when a build turns out to read what no other has read."""
        history, reads = self.kernels.history, self.kernels.reads
        paths = {change.path for commit in history.commits for change in commit.changes}
        paths |= {change.path for changes in history.outside.values() for change in changes}
        now = frozenset(filter(reads, paths))
        if self._kin is None or self._kin[0] != now:
            self._kin = now, kinship(history, fingerprints(history, now.__contains__))
        return self._kin[1]

    def _on_record(self, target: str, kernel: Kernel) -> None:
        label = _label(target)
        arms = {event.arm: event.key for event in read_events(self.run_dir) if isinstance(event, ArmKernel)}
        if arms.get(label) != kernel.key:
            self.log.append(Arm(label, kernel).on_record())


def _label(target: str) -> str:
    return target[:LABEL]


def _seconds(events: Sequence[Event], slot: str) -> float:
    """What the last attempt at a boot took."""
    starts = [event.time for event in events if isinstance(event, BootStart) and event.slot == slot]
    ends = [event.time for event in events if isinstance(event, BootEnd) and event.slot == slot]
    return round(max(ends[-1] - starts[-1], 0.0), 1) if starts and ends else 0.0


def weights_of(history: History, directory: str) -> dict[str, float]:
    """Commits that touch the driver are more likely than others, before anything is known."""
    return {
        commit.id: 3.0 if any(change.path.startswith(f"{directory}/") for change in commit.changes) else 1.0
        for commit in history.commits
    }
