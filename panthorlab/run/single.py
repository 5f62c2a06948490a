# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run`: boot one kernel; run suites, or one command (`command.py`), on it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from panthorlab.board.board import Board
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Side
from panthorlab.report.leftout import told
from panthorlab.run import fleet, measure
from panthorlab.run.command import main as run_command
from panthorlab.run.controller import Controller
from panthorlab.run.events import EventLog, new_run_dir, read_events, read_run
from panthorlab.run.job import Job
from panthorlab.run.kernels import notes_of, parse_params, resolve_kernel
from panthorlab.run.known import read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.plan import Slot, variant_slots
from panthorlab.run.planning import planned, record_needs
from panthorlab.run.progress import Progress
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.summary import summary
from panthorlab.run.survey import survey
from panthorlab.run.variants import Planned

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
    options.overlay = overlay_dir(options.overlay, Progress(quiet=options.quiet))
    try:
        with time_limit(options.time_limit):
            if command:
                return run_command(options, command)
            run_dir = run_suites(options, known)
            return summary(run_dir, read_run(run_dir), as_json=options.json)
    except TimeLimitReached:
        raise LabError(
            f"the time limit of {options.time_limit:g} s was reached", hint="raise --time-limit, or ask for less"
        ) from None


def run_suites(options: argparse.Namespace, known: Sequence[Mapping[str, str]]) -> Path:
    """Run the suites on one kernel, and give the directory of the run, whose log says what came of it."""
    chosen = fleet.choose(options)
    if options.coverage:
        measure.check_boards(chosen.boards)
    settings = fleet.recorded(options, chosen) | {
        "kernel": options.kernel, "jobs": options.jobs, "known": known, "deep": options.deep, "param": options.param,
        "suite": lasting(options.suite), "overlay": str(options.overlay) if options.overlay else None,
    }
    suites = find_suites(options.suite)
    needs = survey(suites.values())
    run_dir = new_run_dir(options.output)
    progress = Progress(quiet=options.quiet)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step, driver=options.driver)
    lines = str(measure.prepare(run_dir, Side.AFTER, kernel)) if options.coverage else None

    with EventLog(run_dir) as log:
        log.append("run-start", options=settings, suites=list(suites))
        record_needs(log, needs)
        plan = planned(log, read_events(run_dir), settings, [kernel], chosen.boards, no_build=ONE_KERNEL)
        for note in (*chosen.notes, *notes_of(kernel)):
            log.append("note", text=note)
        for note in (*chosen.notes, *notes_of(kernel), *told(plan.left_out)):
            progress.note(note)
        if not plan.plain and not plan.variants:
            log.discard()
            raise UsageError("no test of these suites can run:\n" + "\n".join(told(plan.left_out)),
                             hint="`panthorlab suites` lists suites")
        keys = [board.key for board in chosen.boards]
        slots = [
            Slot(Side.AFTER, number * options.boots + turn, board)
            for number, board in enumerate(keys) for turn in range(options.boots) if plan.plain
        ]
        slots += variant_slots([variant.name for variant in plan.variants], keys, [Side.AFTER])
        try:
            Controller(
                log,
                run_dir,
                read_events(run_dir),
                _job_maker(options, plan, kernel, run_dir, chosen.boards, lines),
                lanes=fleet.lanes(chosen.boards, settings),
                progress=progress.event,
            ).run(slots)
            if lines is not None:
                for event in measure.conclude(run_dir, read_events(run_dir)):
                    log.append(**event)
            log.append("run-end")
        finally:
            progress.finish()
    return run_dir


def _job_maker(
    options: argparse.Namespace, plan: Planned, kernel: Kernel, run_dir: Path, boards: Sequence[Board],
    lines: str | None,
) -> Callable[[Slot], Job]:
    params = parse_params(options.param)
    variants = {variant.name: variant for variant in plan.variants}
    paths = {board.key: str(board.path.resolve()) for board in boards}
    suites = tuple(map(str, find_suites(options.suite).values()))

    def make_job(slot: Slot) -> Job:
        given: dict[str, Any] = {"boots": options.boots * len(boards), "tests": plan.plain, "params": params}
        if slot.variant:
            variant = variants[slot.variant]
            given = {"boots": len(boards), "tests": variant.tests, "params": {**params, **variant.params}}
        return Job(
            board=paths[slot.board],
            kernel=kernel.key,
            side=Side.AFTER,
            slot=slot.name,
            boot="",
            index=slot.index,
            run_dir=str(run_dir),
            log_dir="",
            suites=suites,
            expect_fix=False,
            iterations=options.iterations,
            seed=options.seed,
            overlay=str(options.overlay) if options.overlay else None,
            boot_method=options.boot_method,
            fresh=slot.fresh,
            coverage=lines,
            **given,
        )

    return make_job
