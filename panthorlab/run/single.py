# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run`: boot one kernel; run suites, or one command (`command.py`), on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.report.leftout import not_run
from panthorlab.run import fleet, measure
from panthorlab.run.arms import ALONE, Arm
from panthorlab.run.command import main as run_command
from panthorlab.run.controller import Controller
from panthorlab.run.hosts.address import access_of
from panthorlab.run.hosts.crew import HERE, Crew, crew_of
from panthorlab.run.jobs import Jobs
from panthorlab.run.kernels import notes_of, parse_params, resolve_kernel
from panthorlab.run.known import read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.plan import Slot, schedule, variant_slots
from panthorlab.run.planning import planned, record_needs
from panthorlab.run.progress import ProgressDisplay, RunProgress
from panthorlab.run.record import KnownEntry, Note, Planned, RunEnd, RunStart, Settings
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import EventLog, new_run_dir, read_events, read_run
from panthorlab.run.record.versions import VERSION
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.summary import summary
from panthorlab.run.survey import survey
from panthorlab.run.tracer import OF_BOOT, check_kernel, gather

ONE_KERNEL: Final = "`panthorlab build --config` builds one, `validate --deep` builds and boots such kernels itself"


def main(options: argparse.Namespace) -> int:
    """Returns the exit status: COMMAND's, if it ran; else 0 if all tests passed, 1 if one failed, 4 for the lab."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    parse_params(options.param)
    known = read_known(options.known)
    if known and command:
        raise UsageError("--known is for suites: COMMAND decides its own status", hint="leave it out")
    if options.deep and command:
        raise UsageError("--deep is for suites: COMMAND runs on kernel K alone", hint="leave it out")
    if access_of(options) and command:
        raise UsageError("--hosts is for suites: COMMAND talks to this terminal", hint="leave it out")
    progress = ProgressDisplay(quiet=options.quiet)
    options.overlay = overlay_dir(options.overlay, progress)
    try:
        with time_limit(options.time_limit):
            if command:
                return run_command(options, command)
            with crew_of(options, fleet.choose(options).boards if options.hosts else (), progress.note) as crew:
                run_dir = run_suites(options, known, crew)
            if options.recording:
                gather(run_dir, options.recording)
            return summary(run_dir, read_run(run_dir), as_json=options.json)
    except TimeLimitReached:
        raise LabError(
            f"the time limit of {options.time_limit:g} s was reached", hint="raise --time-limit, or ask for less"
        ) from None


def run_suites(
    options: argparse.Namespace, known: Sequence[KnownEntry], crew: Crew = HERE, progress: RunProgress | None = None
) -> Path:
    """Run the suites on one kernel, and give the directory of the run, whose log says what came of it. `progress`:
    where it is shown, if not in a display of its own."""
    chosen = fleet.choose(options)
    settings = _settings(options, known, chosen)
    suites = find_suites(options.suite)
    needs = survey(suites.values())
    if settings.workload:
        needs = [need for need in needs if need.counted]
    run_dir = new_run_dir(options.output)
    progress = progress or ProgressDisplay(quiet=options.quiet)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step, driver=options.driver)
    if options.recording:
        check_kernel(kernel)
    maps = {}
    if fleet.measured(chosen.boards, coverage=settings.coverage, time=settings.time):
        maps = measure.prepare_all(run_dir, {ALONE: kernel}, chosen.boards, asked=settings.coverage)

    with EventLog(run_dir) as log:
        log.append(RunStart(options=settings, suites=tuple(suites), version=VERSION))
        arm = Arm(ALONE, kernel)
        log.append(arm.on_record())
        record_needs(log, needs)
        plan = _plan(log, settings, kernel, chosen, progress)
        try:
            Controller(
                log,
                run_dir,
                read_events(run_dir),
                Jobs(
                    run_dir,
                    settings,
                    chosen.boards,
                    tuple(map(str, suites.values())),
                    plan,
                    {name: [arm] for name in ["", *(one.name for one in plan.variants)]},
                    maps=maps,
                    recording=OF_BOOT if options.recording else None,
                ),
                lanes=fleet.lanes(chosen.boards, settings, crew.copies),
                progress=progress.event,
                boot=crew.boot,
                stop=crew.stop,
            ).run(_slots(plan, settings, [board.key for board in chosen.boards]))
            if maps:
                for event in measure.conclude(run_dir, read_events(run_dir)):
                    log.append(event)
            log.append(RunEnd())
        finally:
            progress.finish()
    return run_dir


def _settings(options: argparse.Namespace, known: Sequence[KnownEntry], chosen: fleet.Fleet) -> Settings:
    given = {
        **vars(options),
        **fleet.recorded(options, chosen),
        "known": (),
        "suite": lasting(options.suite),
        "overlay": str(options.overlay) if options.overlay else None,
    }
    return replace(decode(Settings, given), known=tuple(known))


def _plan(log: EventLog, settings: Settings, kernel: Kernel, chosen: fleet.Fleet, progress: RunProgress) -> Planned:
    """Where every test runs, put on record and told. Raises UsageError if none does: then there was no run."""
    events = read_events(log.path.parent)
    plan = planned(log, events, settings, [kernel], chosen.boards, no_build=ONE_KERNEL)
    notes = (*chosen.notes, *notes_of(kernel))
    for note in notes:
        log.append(Note(text=note))
    for note in (*notes, *not_run(plan.left_out)):
        progress.note(note)
    if not plan.plain and not plan.variants:
        log.discard()
        raise UsageError(
            "no test of these suites can run:\n" + "\n".join(not_run(plan.left_out)),
            hint="`panthorlab suites` lists suites",
        )
    return plan


def _slots(plan: Planned, settings: Settings, boards: Sequence[str]) -> list[Slot]:
    """The boots, each on one of the `boards`."""
    slots = schedule([ALONE], settings.boots, boards) if plan.plain else []
    return slots + variant_slots([ALONE], [variant.name for variant in plan.variants], boards)
