# SPDX-License-Identifier: GPL-2.0-or-later
"""One kernel of a night: built from its commit, its suites run, judged against the last good night."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panthorlab.errors import BuildError, PanthorlabError
from panthorlab.files import write_whole
from panthorlab.history.facts import facts_of
from panthorlab.kernel.increment import has_tree, prepare_commit
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import build_side
from panthorlab.kernel.model import Kernel
from panthorlab.nightly.asked import run_options
from panthorlab.nightly.expectations import lists, measured, stayed_away
from panthorlab.nightly.judge import Judgement, joined, judged, release_of
from panthorlab.nightly.model import Expectation, KernelNight, NewTrouble, NightOutcome, TreeCommit
from panthorlab.nightly.plan import KernelPlan, NightlyPlan
from panthorlab.report import html
from panthorlab.report.faults import by_telling
from panthorlab.report.text import plain
from panthorlab.run import fleet, results
from panthorlab.run.known import read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Event, KnownEntry, RunEnd
from panthorlab.run.record.log import read_run, start_of
from panthorlab.run.single import run_suites
from panthorlab.run.traces import timeline_of

RUN: Final = "run"
PAGE: Final = "comparison.html"
LISTS: Final = "expectations"
BUILD_FAILED: Final = "build-failed"
TIME_UP: Final = "the night's time was up"
OTHERWISE: Final = "suites, boards or settings have changed, too, since the night that this one is compared with"


@dataclass(frozen=True)
class Earlier:
    """What earlier nights leave to one: the last good one with its commit and run, and what each, newest first, has
    measured of known findings. `tree`: the commit in whose private tree the last one was built; `built`: the last one
    that was, and ran. `otherwise`: the last good one was tested with other suites, boards or settings."""

    night: str = ""
    commit: TreeCommit | None = None
    run: Path | None = None
    measured: Sequence[Sequence[Expectation]] = ()
    tree: str = ""
    built: str = ""
    otherwise: bool = False


@dataclass(frozen=True)
class KernelWork:
    """`tree`: the mirror. `folder`: of this kernel in this night. `overlay`: its directory. `placed`: is told in which
    commit's private tree it is built, before it is."""

    plan: NightlyPlan
    kernel: KernelPlan
    tree: Path
    commit: TreeCommit
    folder: Path
    progress: ProgressDisplay
    overlay: Path | None
    no_jail: bool
    quiet: bool
    placed: Callable[[str], None]

    def judge(self, earlier: Earlier, seconds: float | None) -> KernelNight:
        """Build, run, judge; what is there whole is not made again. What goes wrong is said in the result."""
        own = self._own(earlier)
        try:
            events = self._whole()
            if events is None:
                if seconds is not None and seconds <= 0:
                    return self._lost(own, f"{TIME_UP} before it was done")
                self.folder.mkdir(parents=True, exist_ok=True)
                with time_limit(seconds):
                    events = self._ran(self._built(earlier))
            return self._judged(own, events, earlier)
        except BuildError as error:
            return _unbuilt(own, error)
        except TimeLimitReached:
            return self._lost(own, f"{TIME_UP} in the middle of it")
        except PanthorlabError as error:  # of a tree, a board or the lab: the other kernels may fare better
            return self._lost(own, told(error))

    def _own(self, earlier: Earlier) -> KernelNight:
        kernel = self.kernel
        return KernelNight(
            kernel.name,
            kernel.tree,
            kernel.branch,
            kernel.config,
            kernel.url,
            NightOutcome.ERROR,
            self.commit,
            compared=earlier.night,
            good=earlier.commit,
            boards=kernel.boards,
            directory=str(self.folder),
        )

    @property
    def run_dir(self) -> Path:
        return self.folder / RUN

    def _built(self, earlier: Earlier) -> Kernel:
        """An increment of what earlier nights have built, if their tree is there still. One that does not build is
        believed if the last that did still does, there."""
        options = run_options(
            self.plan, self.kernel, key="", output=self.run_dir, overlay=self.overlay, no_jail=self.no_jail
        )
        boards = fleet.named(options)
        fragments = fleet.fragments_of(boards, self.kernel.fragments)
        sandbox()
        step = self.progress.step
        there = earlier.tree if earlier.tree and has_tree(self.tree, earlier.tree) else self.commit.id
        plan, tree = prepare_commit(self.tree, self.commit.id, near=there, fragments=fragments, progress=step)
        fleet.check_release(boards, plan.base.version)
        self.placed(tree)
        before = None
        if earlier.built and tree == earlier.tree and earlier.built != self.commit.id:
            before, place = prepare_commit(self.tree, earlier.built, near=tree, fragments=fragments, progress=step)
            before = before if place == tree else None
        log, note = self.folder / "build.log", self.progress.line
        return build_side(plan, log=log, progress=step, note=note, before=before)

    def _ran(self, kernel: Kernel) -> list[Event]:
        if self.run_dir.exists():
            self.progress.note(f"{self.kernel.name}: its run did not reach its end, and is made again")
            shutil.rmtree(self.run_dir)
        options = run_options(
            self.plan, self.kernel, key=kernel.key, output=self.run_dir, overlay=self.overlay, no_jail=self.no_jail
        )
        options.quiet = self.quiet
        return read_run(run_suites(options, read_known(self.plan.known)))

    def _whole(self) -> list[Event] | None:
        """The events of the run, if it has reached its end."""
        if not (self.run_dir / "events.jsonl").is_file():
            return None
        events = read_run(self.run_dir)
        return events if any(isinstance(event, RunEnd) for event in events) else None

    def _lost(self, own: KernelNight, why: str) -> KernelNight:
        """What can be said though the run has no end: how much was lost."""
        if not (self.run_dir / "events.jsonl").is_file():
            return replace(own, reasons=(why,))
        facts = facts_of(self.run_dir)
        lost = max(1, facts.lost)
        return replace(own, reasons=(why,), attempted=facts.judged + lost, judged=facts.judged, lost=lost)

    def _judged(self, own: KernelNight, events: Sequence[Event], earlier: Earlier) -> KernelNight:
        good = read_run(earlier.run) if earlier.run else None
        said = judged(events, good)
        self._write_page(events, good, said)
        facts, start = facts_of(self.run_dir), start_of(events)
        entries = start.options.known
        known = measured(events, earlier.measured)
        self._write_lists(known, entries, release_of(events))
        return replace(
            own,
            outcome=said.outcome,
            reasons=(*said.reasons, OTHERWISE) if earlier.otherwise and said.new else said.reasons,
            attempted=facts.judged + facts.lost,
            judged=facts.judged,
            lost=facts.lost,
            new=said.new,
            known=known,
            passes=stayed_away(known, entries),
            kernel=release_of(events),
            suites=start.suites,
        )

    def _write_page(self, events: Sequence[Event], good: Sequence[Event] | None, said: Judgement) -> None:
        """The comparison with the last good night, as a validation's page; of a first night there is none."""
        if good is None:
            return
        report = results.report(self.run_dir, joined(good, events), said.verdict)
        page = html.render(report, timeline_of(self.run_dir, by_telling(report)))
        write_whole(self.folder / PAGE, page)

    def _write_lists(self, known: Sequence[Expectation], entries: Sequence[KnownEntry], release: str) -> None:
        folder = self.plan.state / LISTS / self.kernel.folder
        for name, text in lists(known, entries, release).items():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, text)


def _unbuilt(own: KernelNight, error: BuildError) -> KernelNight:
    """A kernel that does not build is at fault; if it did in the last good night, it is worse than then."""
    why = plain(str(error).splitlines()[0])
    if not own.compared:
        return replace(own, outcome=NightOutcome.FAILING, reasons=(f"it does not build: {why}",))
    trouble = NewTrouble("build", BUILD_FAILED, reason=f"it does not build: {why}")
    return replace(own, outcome=NightOutcome.REGRESSED, reasons=(trouble.reason,), new=(trouble,))


def told(error: PanthorlabError) -> str:
    """An error as a reason: with what to do next."""
    return plain(f"{error}" + (f" (hint: {error.hint})" if error.hint else ""))
