# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab explore`: boots in exact time until the seeds or the time are used up, or a finding is there.

A run like that of `panthorlab run`: the same record, workers, findings and expectations, so each of its iterations can
be repeated by `panthorlab replay`, and the same `--output` goes on with it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.calls import DriverCode, driver_code
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.report.leftout import not_run
from panthorlab.run import fleet, measure
from panthorlab.run.arms import ALONE, Arm
from panthorlab.run.explore.explorer import Explorer
from panthorlab.run.explore.finding import Explained, explain
from panthorlab.run.explore.places import Ran, check, ran_at
from panthorlab.run.explore.plan import RESERVED, kinds_of
from panthorlab.run.explore.strategies import AIMED, CHOICES
from panthorlab.run.explore.tally import Explored, Suspect
from panthorlab.run.explore.tell import tell
from panthorlab.run.explore.trials import Trials
from panthorlab.run.jobs import Jobs
from panthorlab.run.kernels import notes_of, parse_params, resolve_kernel
from panthorlab.run.known import known_of, read_known
from panthorlab.run.meter import read_map
from panthorlab.run.plan import Slot
from panthorlab.run.planning import planned, record_needs
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Resumed, RunStart, Settings
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import EventLog, new_run_dir, read_events, read_run, start_of
from panthorlab.run.record.versions import VERSION
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.survey import survey

DEFAULT_SECONDS: Final = 60.0
MAY_DIFFER: Final = ("jobs", "wait", "time_limit", "no_jail")
"""Settings by which an exploration may go on otherwise than it began."""
ONE_KERNEL: Final = "an exploration boots no other kernel"


def main(options: argparse.Namespace) -> int:
    """Exit status 0: nothing was found; 1: a finding; 4: the lab, or some of it could not be judged."""
    params = parse_params(options.param)
    if taken := [name for name in params if name in RESERVED]:
        raise UsageError(f"gpu.{taken[0]} is what an exploration sets itself", hint="see --strategy")
    board = fleet.choose_one(options)
    board.check_time(TimeName.EXACT)
    settings = _settings(options, board)
    if options.between and AIMED not in settings.strategy:
        raise UsageError(f"--between is for the strategy {AIMED}, which is not chosen", hint=f"--strategy {AIMED}")
    suites = find_suites(options.suite)
    needs = [need for need in survey(suites.values()) if need.counted]
    if not needs:
        raise UsageError("no test of these suites runs a workload in iterations", hint="heap-exit-claim has some")
    run_dir, goes_on = _run_dir(options.output, settings)
    progress = ProgressDisplay(quiet=options.quiet)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step)
    arm = Arm(ALONE, kernel)
    maps = _maps(run_dir, kernel, board, options.place)
    try:
        with EventLog(run_dir) as log, board.leased(run_dir, wait=options.wait, on_note=progress.line):
            if goes_on:
                log.append(Resumed(version=VERSION))
            else:
                log.append(RunStart(options=settings, suites=tuple(suites), version=VERSION))
                log.append(arm.on_record())
                record_needs(log, needs)
            plan = planned(log, read_events(run_dir), settings, [kernel], [board], no_build=ONE_KERNEL)
            for note in (*notes_of(kernel), *not_run(plan.left_out)):
                progress.note(note)
            if not plan.plain:
                log.discard()
                raise UsageError("no test of these suites can run here:\n" + "\n".join(not_run(plan.left_out)))
            files = tuple(str(suites[name]) for name in suites)
            jobs = Jobs(run_dir, settings, [board], files, plan, {"": [arm]}, maps=maps)
            explorer = Explorer(
                run_dir,
                log,
                settings,
                board,
                jobs,
                Explored(run_dir, known_of(settings)),
                progress,
                options.seeds,
                None if options.seeds else options.seconds or DEFAULT_SECONDS,
                not options.keep_going,
                kinds_of(need for need in needs if need.test in plan.plain),
                _code(kernel, settings, progress),
            )
            explorer.explore()
            explained = _explain(explorer, arm, settings)
    finally:
        progress.finish()
    ran = _ran(run_dir, options.place)
    return tell(options, run_dir, kernel, explorer.tally, explained, explorer.aimed, ran)


def _maps(run_dir: Path, kernel: Kernel, board: Board, places: Sequence[str]) -> Mapping[str, str]:
    """What it takes to measure which lines run, by the kernel's key: always, if it can be, as it moves nothing in exact
    time. Raises UsageError for places that this kernel does not have, or if nothing can be measured of them."""
    maps = measure.prepare_all(run_dir, {ALONE: kernel}, [board], asked=bool(places))
    if places and Path(maps[kernel.key]).is_dir():
        raise UsageError("--place wants instructions to be counted, and this kernel counts for gcov",
                         hint="build it without --config gcov")  # fmt: skip
    if places:
        check(places, read_map(Path(maps[kernel.key])))
    return maps


def _ran(run_dir: Path, places: Sequence[str]) -> Sequence[Ran]:
    if not places:
        return ()
    executed = measure.ran_so_far(run_dir, ALONE, read_events(run_dir))
    if executed is None:
        raise LabError("no boot has measured which lines ran", hint=f"see {run_dir / 'boots'}")
    return ran_at(places, executed)


def _code(kernel: Kernel, settings: Settings, progress: ProgressDisplay) -> DriverCode | None:
    """The driver's code, if blocks of it are aimed at. Where that cannot be, it is told why."""
    if AIMED not in settings.strategy:
        return None
    try:
        return driver_code(kernel)
    except UsageError as error:
        progress.note(f"{AIMED}: between register accesses, not at blocks of the driver: {error}")
        return None


def _settings(options: argparse.Namespace, board: Board) -> Settings:
    given = {
        **vars(options),
        "board": board.name,
        "boards": [board.key],
        "time": TimeName.EXACT,
        "known": (),
        "suite": lasting(options.suite),
        "strategy": list(dict.fromkeys(options.strategy or CHOICES)),
        "overlay": str(Path(options.overlay).resolve()) if options.overlay else None,
        "jobs": options.jobs or os.cpu_count() or 1,
        "boots": 1,
    }
    return replace(decode(Settings, given), known=tuple(read_known(options.known)))


def _run_dir(output: Path | None, settings: Settings) -> tuple[Path, bool]:
    """The run's directory, and whether it has an exploration that goes on. Raises UsageError if it is another one."""
    if output is None or not (output / "events.jsonl").is_file():
        return new_run_dir(output), False
    events = read_events(output)
    if not events:
        return new_run_dir(output), False
    before = start_of(read_run(output)).options
    same = {name: getattr(settings, name) for name in MAY_DIFFER}
    if replace(before, **same) != settings:
        other = [
            name
            for name in vars(settings)
            if name not in MAY_DIFFER and getattr(before, name) != getattr(settings, name)
        ]
        raise UsageError(
            f"{output} has a run with other {', '.join(other)}", hint="choose another --output, or the same options"
        )
    return output.resolve(), True


def _explain(explorer: Explorer, arm: Arm, settings: Settings) -> list[tuple[Suspect, Explained | None]]:
    """Each different finding with its shortest reproducer."""
    different: dict[frozenset[str], Suspect] = {}
    for found in explorer.tally.found:
        different.setdefault(found.key, found)
    explained: list[tuple[Suspect, Explained | None]] = []
    for found in different.values():
        template = explorer.jobs(Slot(ALONE, 0, explorer.board.key))
        trials = Trials(explorer.run_dir, template, explorer.board, arm, settings, found.iteration.workload)
        explained.append((found, explain(found, explorer.tally, trials, explorer.progress)))
    return explained
