# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: two kernels, the same suites on both, one verdict. Also `resume`, which is the same from the log."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.files import FULL, MACHINE, disk_full
from panthorlab.kernel.jail.sandbox import without_jail
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.spec import require_name
from panthorlab.outcome import Side
from panthorlab.report.leftout import not_run
from panthorlab.run import check, fleet, further, measure, planning, reports, variantresults
from panthorlab.run.arms import Arm
from panthorlab.run.bothkernels import both_kernels
from panthorlab.run.controller import Controller
from panthorlab.run.hosts.crew import Crew, crew_of
from panthorlab.run.intake import keep_patches
from panthorlab.run.jobs import Jobs
from panthorlab.run.kernels import parse_params
from panthorlab.run.known import read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.plan import Slot, again_slots, extension_slots, remaining, schedule, variant_slots
from panthorlab.run.planning import planned, record_needs
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import (
    Again,
    ArmKernel,
    BuildFailed,
    Event,
    Identical,
    Note,
    Planned,
    Resumed,
    RunEnd,
    RunStart,
    SessionTime,
    Settings,
    Stopped,
)
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import (
    EventLog,
    is_validation,
    new_run_dir,
    read_events,
    read_run,
    read_what_is_left,
    start_of,
)
from panthorlab.run.record.versions import VERSION
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.survey import survey
from panthorlab.run.variantkernels import VariantKernels
from panthorlab.verdict.model import Expect

SIDES: Final = tuple(Side)
"""The arms of a validation."""
BEFORE_SHARE: Final = 1 / 3
"""Of the iterations of *after*, where a fix is expected: *before* is there to show that the bug is reproduced, for
which a third is plenty."""


def main(options: argparse.Namespace) -> int:
    """`panthorlab validate`: a new run. Returns the exit status."""
    chosen = _check(options)
    if options.dry_run:
        return check.main(options)
    known = read_known(options.known)
    suites = find_suites(options.suite)
    needs = survey(suites.values())
    progress = ProgressDisplay(quiet=options.quiet)
    overlay = overlay_dir(options.overlay, progress)
    run_dir = new_run_dir(options.output)
    given = {
        **vars(options),
        **fleet.recorded(options, chosen),
        "suite": lasting(options.suite),
        "known": (),
        "overlay": str(overlay) if overlay else None,
    }
    settings = replace(decode(Settings, given), known=tuple(known))
    with EventLog(run_dir) as log:
        try:
            kept = keep_patches(options.patch, run_dir, options.patch_version)
            settings = replace(settings, patch=kept.names)
            log.append(
                RunStart(
                    options=settings,
                    suites=tuple(suites),
                    command=("panthorlab", *sys.argv[1:]),
                    directory=str(Path.cwd()),
                    version=VERSION,
                )
            )
            record_needs(log, needs)
            for note in (*chosen.notes, *kept.notes):
                log.append(Note(text=note))
                progress.note(note)
            return _carry_on(run_dir, log, settings, chosen.boards, progress, options)
        except PanthorlabError as error:
            if _did_nothing(log, error):
                log.discard()
            raise


def _did_nothing(log: EventLog, error: PanthorlabError) -> bool:
    """Whether a run was refused before it did anything. One whose log is gone did something."""
    if not log.path.is_file():
        return False
    kinds = {type(event) for event in read_events(log.path.parent)}
    return not kinds or (isinstance(error, UsageError) and ArmKernel not in kinds)


def _check(options: argparse.Namespace) -> fleet.Fleet:
    """Everything that can be known to be wrong before anything is written. The boards of the run."""
    if (options.before is None) != (options.after is None):
        raise UsageError("--before and --after go together", hint="name both kernels, or none and give a patch")
    if options.before is not None and options.dry_run:
        raise UsageError("--before and --after are finished kernels: there is no plan", hint="leave out --dry-run")
    sources = {"PATCH": options.patch, "--base": options.base, "--revert": options.revert, "--config": options.config}
    given = [name for name, value in sources.items() if value]
    if options.before is not None and given:
        raise UsageError(
            f"--before and --after are finished kernels: {', '.join(given)} cannot be applied to them",
            hint="leave out either the kernels or the sources",
        )
    for name in options.patch:
        require_name(name)
    parse_params(options.param)
    return fleet.choose(options)


def resume_main(options: argparse.Namespace) -> int:
    """`panthorlab resume RUN`: go on where a run stopped; a finished one is only reported again."""
    run_dir = options.run.resolve()
    if not is_validation(read_run(run_dir)):
        hint = "start it again; `bisect --resume` goes on with a bisect, the same `explore` with its --output"
        raise UsageError(f"{run_dir} is no validation: what one kernel or command ran is not resumed", hint=hint)
    with EventLog(run_dir) as log:
        events = read_run(run_dir)
        start = start_of(events)
        if _finished(events):
            return reports.write(run_dir, events, reports.judge(events), as_json=options.json)
        log.append(Resumed(version=VERSION))
        if start.options.no_jail:
            without_jail()
        if Path(start.directory).is_dir():  # relative names in its options are meant from there
            os.chdir(start.directory)
        boards, progress = fleet.reopened(start.options), ProgressDisplay(quiet=options.quiet)
        return _carry_on(run_dir, log, start.options, boards, progress, options)


def _finished(events: Sequence[Event]) -> bool:
    """Whether resuming can add nothing. Slots that were given up because of the lab are worth another try."""
    kinds = {type(event) for event in events}
    if RunEnd not in kinds:
        return False
    settings = start_of(events).options
    if BuildFailed in kinds or (Identical in kinds and Planned not in kinds):
        return True
    boards = settings.board_names
    slots = [
        *_slots(events, settings),
        *extension_slots(events, settings.boots, boards),
        *again_slots(SIDES, events, boards),
    ]
    if remaining(slots, [*events, Resumed()]) or reports.extension_of(events):
        return False
    return Again in kinds or not reports.doubts_of(events)


def _slots(events: Sequence[Event], settings: Settings) -> list[Slot]:
    """Every boot of the plan: the plain ones, unless their kernels cannot differ, and those of variants whose kernels
    are there."""
    boards = settings.board_names
    plain = [] if variantresults.variants_only(events) else schedule(SIDES, settings.boots, boards)
    names = [
        name
        for name in variantresults.names(events)
        if not variantresults.identical(events, name) and variantresults.failed_build(events, name) is None
    ]
    return [*plain, *variant_slots(SIDES, names, boards)]


def _carry_on(
    run_dir: Path,
    log: EventLog,
    settings: Settings,
    boards: Sequence[Board],
    progress: ProgressDisplay,
    options: argparse.Namespace,
) -> int:
    """One session of a run. However it ends, but for bad input, there is a verdict and there are reports. `options`: of
    this session alone."""
    began = time.monotonic()
    again = f"continue with: panthorlab resume {shlex.quote(str(run_dir))}"
    try:
        with time_limit(settings.time_limit), crew_of(options, boards, progress.note) as crew:
            _Validation(run_dir, log, settings, boards, progress, crew).run()
        log.append(RunEnd())
        end: Event | None = None
    except TimeLimitReached:
        end = _stopped(progress, f"the time limit of {settings.time_limit:g} s was reached", again, status=4)
    except KeyboardInterrupt:
        end = _stopped(progress, "interrupted", again, status=130)
    except UsageError:
        raise
    except PanthorlabError as error:
        end = _stopped(progress, str(error), f"{error.hint}; then {again}" if error.hint else again, status=4)
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        trouble = disk_full(str(error)) if error.errno in FULL else LabError(str(error), hint="see to that machine")
        end = _stopped(progress, str(trouble), f"{trouble.hint}; then {again}", status=4)
    finally:
        progress.finish()
    worked = SessionTime(seconds=round(time.monotonic() - began, 2))
    events = _put_on_record(run_dir, log, [*([end] if end else []), worked])
    return reports.write(run_dir, events, reports.judge(events), as_json=options.json)


def _stopped(progress: ProgressDisplay, reason: str, hint: str, *, status: int) -> Stopped:
    """Say, also on a terminal that is to be quiet, why the run goes no further; the event for the record."""
    progress.finish()
    print(f"panthorlab: {reason}\n  hint: {hint}", file=sys.stderr, flush=True)
    return Stopped(reason=reason, hint=hint, exit=status)


def _put_on_record(run_dir: Path, log: EventLog, events: Sequence[Event]) -> list[Event]:
    """The whole run, ended by `events`; if the disk has no room for these, reports have them all the same."""
    for place, event in enumerate(events):
        try:
            log.append(event)
        except LabError:
            if not log.path.exists():
                raise
            return [*read_what_is_left(run_dir), *(replace(left, time=time.time()) for left in events[place:])]
    return read_what_is_left(run_dir)


@dataclass(frozen=True)
class _Validation:
    """One session of a run: whatever its events say is still to be done."""

    _dir: Path
    _log: EventLog
    _settings: Settings
    _boards: Sequence[Board]
    _progress: ProgressDisplay
    _crew: Crew

    def run(self) -> None:
        kernels = both_kernels(self._dir, self._log, self._settings, self._boards, self._progress, self._crew.build)
        if kernels is None:
            return
        identical = any(isinstance(event, Identical) for event in read_events(self._dir))
        if identical and not self._settings.deep:
            return
        plan = self._plan(kernels, plain=not identical)
        arms = {
            name: [Arm(side, kernel) for side, kernel in own.items()]
            for name, own in {"": kernels, **self._variant_kernels(plan, kernels)}.items()
        }
        maps = self._maps(kernels)
        jobs = Jobs(
            self._dir,
            self._settings,
            self._boards,
            tuple(map(str, find_suites(self._settings.suite).values())),
            plan,
            arms,
            maps=maps,
            claims={Side.BEFORE: BEFORE_SHARE} if self._settings.expect is Expect.FIX else {},
            once=planning.tests_run_once(read_events(self._dir), plan),
        )
        with self._log.phase("boots and iterations"):
            self._carry_out(_slots(read_events(self._dir), self._settings), jobs)
        further.extend(self._dir, self._log, self._progress)
        more = extension_slots(read_events(self._dir), self._settings.boots, [board.key for board in self._boards])
        if more:
            with self._log.phase("more iterations of before"):
                self._carry_out(more, jobs)
        further.doubt(self._dir, self._log, self._progress)
        if again := again_slots(SIDES, read_events(self._dir), [board.key for board in self._boards]):
            with self._log.phase("tests in doubt"):
                self._carry_out(again, jobs)
        if maps:
            with self._log.phase("coverage"):
                for event in measure.conclude(self._dir, read_events(self._dir)):
                    self._log.append(event)

    def _maps(self, kernels: Mapping[Side, Kernel]) -> dict[str, str]:
        """Of the lines of each kernel, by its key, if what runs of them is to be measured."""
        settings = self._settings
        if not fleet.measured(self._boards, coverage=settings.coverage, time=settings.time):
            return {}
        files = measure.patched_files(read_events(self._dir))
        return measure.prepare_all(self._dir, kernels, self._boards, files, asked=settings.coverage)

    def _plan(self, kernels: Mapping[Side, Kernel], *, plain: bool) -> Planned:
        no_build = "" if self._settings.before is None else "--before and --after are finished kernels"
        plan = planned(
            self._log,
            read_events(self._dir),
            self._settings,
            kernels.values(),
            self._boards,
            no_build=no_build,
            plain=plain,
        )
        for line in not_run(plan.left_out):
            self._progress.note(line)
        if plain and not plan.plain and not plan.variants:
            raise UsageError(
                "no test of these suites can run:\n" + "\n".join(not_run(plan.left_out)),
                hint="`panthorlab suites` lists suites",
            )
        return plan

    def _variant_kernels(self, plan: Planned, plain: Mapping[Side, Kernel]) -> dict[str, Mapping[Side, Kernel]]:
        """By variant. Those with the same fragments have the same kernels."""
        builder = VariantKernels(self._dir, self._log, self._settings, self._boards, self._progress, self._crew.build)
        return {
            variant.name: builder.get(variant.name, variant.fragments) if variant.fragments else plain
            for variant in plan.variants
        }

    def _carry_out(self, slots: Sequence[Slot], jobs: Jobs) -> None:
        Controller(
            self._log,
            self._dir,
            read_events(self._dir),
            jobs,
            lanes=fleet.lanes(self._boards, self._settings, self._crew.copies),
            progress=self._progress.event,
            boot=self._crew.boot,
        ).run(slots)
