# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab matrix`: the same suites on several kernels, and where these differ.

Each kernel is judged by itself, as by `panthorlab run`, in a directory of its own below that of the matrix. What is
there whole is not run again, so that a matrix that was stopped goes on with the same command and its --output; one that
asks for anything else is refused.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.board.emulated.overlay import contents
from panthorlab.board.registry import find_board_file
from panthorlab.errors import LabError, UsageError
from panthorlab.files import digest, read_object, sha256, write_whole
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Role
from panthorlab.report import console
from panthorlab.report.matrix import Column, cells_of, markdown, render
from panthorlab.report.text import json_text
from panthorlab.run import fleet, matrixcheck
from panthorlab.run.abreast import HaltedError, abreast
from panthorlab.run.hosts.address import access_of
from panthorlab.run.hosts.crew import Crew, crew_of
from panthorlab.run.kernels import parse_params, resolve_kernel
from panthorlab.run.known import read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.progress import ProgressDisplay, SharedProgress
from panthorlab.run.record import Event, KnownEntry, RunEnd
from panthorlab.run.record.log import new_run_dir, read_run
from panthorlab.run.single import run_suites
from panthorlab.run.suites import find_suites, lasting
from panthorlab.run.summary import json_of_test, judge_kernel

RECORD: Final = "matrix.json"
LOCK: Final = ".matrix.lock"
ASKED: Final = (
    "driver",
    "board",
    "tag",
    "boot_method",
    "time",
    "suite",
    "deep",
    "iterations",
    "boots",
    "param",
    "seed",
    "config",
    "coverage",
)
"""Options that must be the same when a matrix goes on: they decide what its cells mean. So do the contents of the files
that options name."""


def main(options: argparse.Namespace) -> int:
    """Returns 0 if every kernel is good, 1 if one is not, 4 if one could not be judged."""
    if not options.source and not options.kernel:
        raise UsageError("matrix needs a kernel", hint="name sources (debian:6.18.5, …) or --kernel K")
    if options.json and options.markdown:
        raise UsageError("--json and --markdown are two forms of one table", hint="take one of them")
    parse_params(options.param)
    find_suites(options.suite)
    known = read_known(options.known)
    boards = fleet.choose(options).boards
    access_of(options)
    if options.dry_run:
        return matrixcheck.main(options, boards)
    progress = ProgressDisplay(quiet=options.quiet)
    options.overlay = overlay_dir(options.overlay, progress)
    with _folder(options, known) as folder:
        columns = _made(options, known, folder, boards, progress)
    if options.json:
        print(json_text(_json(folder, columns)), end="")
    elif options.markdown:
        print(markdown(columns, everything=options.all))
    else:
        print(render(columns, everything=options.all, room=console.columns_of(sys.stdout)))
    statuses = {column.exit for column in columns}
    return next((status for status in (4, 1) if status in statuses), 0)


def _made(
    options: argparse.Namespace,
    known: Sequence[KnownEntry],
    folder: Path,
    boards: Sequence[Board],
    progress: ProgressDisplay,
) -> list[Column]:
    """Every kernel, built and run."""
    try:
        with time_limit(options.time_limit), crew_of(options, boards, progress.note) as crew:
            kernels = _kernels(options, folder, progress, crew)
            return _columns(options, known, folder, kernels, progress, crew)
    except TimeLimitReached:
        raise LabError(
            f"the time limit of {options.time_limit:g} s was reached",
            hint=f"go on with the same command and --output {folder}",
        ) from None
    finally:
        progress.finish()


@contextmanager
def _folder(options: argparse.Namespace, known: Sequence[KnownEntry]) -> Iterator[Path]:
    """The directory of the matrix, which no other process works on meanwhile. Raises UsageError if one does, or if it
    has a matrix that asked for something else."""
    asked = _asked(options, known)
    there = options.output is not None and (options.output / RECORD).exists()
    folder = Path(options.output).resolve() if there else new_run_dir(options.output)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{folder}: another matrix is at work on it", hint="wait until it has ended, or choose another --output"
            ) from None
        _check_asked(folder, asked)
        yield folder


def _check_asked(folder: Path, asked: JsonObject) -> None:
    """Put on record what is asked for, or see that it is what is on record."""
    record = folder / RECORD
    if not record.exists():
        write_whole(record, json_text(asked))
        return
    before = read_object(record)
    if before is None:
        raise UsageError(f"{record} is damaged: nobody knows what was asked for", hint="choose another --output")
    if other := [name for name, value in asked.items() if name not in before or before[name] != value]:
        raise UsageError(
            f"{folder} has a matrix that was made with other {', '.join(other)}",
            hint="choose another --output, or the same options",
        )


def _asked(options: argparse.Namespace, known: Sequence[KnownEntry]) -> JsonObject:
    """What the matrix is asked for, as it is written down: files by what is in them, wherever they are."""
    suites = find_suites(options.suite)
    boards = map(find_board_file, options.board or [fleet.DEFAULT])
    settings = {name: getattr(options, name) for name in ASKED} | {
        "suite": lasting(options.suite),
        "known": [entry.pattern for entry in known],
        "overlay": contents.digest(options.overlay) if options.overlay else None,
        "text of suites": digest((name, sha256(suites[name])) for name in sorted(suites)),
        "text of boards": None if options.tag else digest(sha256(file) for file in boards),
    }
    asked: JsonObject = json.loads(json.dumps(settings, default=str))
    return asked


def _kernels(options: argparse.Namespace, folder: Path, progress: ProgressDisplay, crew: Crew) -> dict[str, Kernel]:
    """By label: all are built before any boots, so that what does not build is known early."""
    boards = fleet.named(options)
    fragments = fleet.fragments_of(boards, options.config)
    if options.source:
        sandbox()
    plans = []
    for source in options.source:
        plan = prepare_kernel(source, (), fragments=fragments, progress=progress.step)
        fleet.check_release(boards, plan.base.version)
        plans.append(plan)
    found = _build(plans, folder / "build.log", progress, crew)
    found += [
        resolve_kernel(name, log=folder / "build.log", progress=progress.step, driver=options.driver)
        for name in options.kernel
    ]
    kernels = list({kernel.key: kernel for kernel in found}.values())
    releases = Counter(kernel.release for kernel in kernels)
    return {
        kernel.release if releases[kernel.release] == 1 else f"{kernel.release} {kernel.key[:6]}": kernel
        for kernel in kernels
    }


def _build(plans: Sequence[SidePlan], log: Path, progress: ProgressDisplay, crew: Crew) -> list[Kernel]:
    """Each kernel once; as many at once as there are hosts that build."""
    once = list({plan.key: plan for plan in plans}.values())
    if crew.builds == 1:
        return [crew.build(plan, log=log, progress=progress.step, note=progress.line) for plan in once]
    stop = threading.Event()

    def build(plan: SidePlan) -> Kernel:
        shared = SharedProgress(progress, plan.title)

        def step(text: str, done: int | None = None, total: int | None = None, /) -> None:
            if stop.is_set():
                raise HaltedError
            shared.step(text, done, total)

        return crew.build(plan, log=log, progress=step, note=progress.line)

    return abreast([partial(build, plan) for plan in once], stop)


def _columns(
    options: argparse.Namespace,
    known: Sequence[KnownEntry],
    folder: Path,
    kernels: Mapping[str, Kernel],
    progress: ProgressDisplay,
    crew: Crew,
) -> list[Column]:
    """One after the other on boards that are here; at once if others have the boards: none of their workers waits for
    the last boot of a kernel before it gets one of the next."""
    if crew.copies is None:
        return [
            _column(options, known, folder, label, kernel, progress, crew, None) for label, kernel in kernels.items()
        ]
    stop = threading.Event()
    together = replace(crew, stop=stop)
    return abreast(
        [
            partial(_column, options, known, folder, label, kernel, progress, together, SharedProgress(progress, label))
            for label, kernel in kernels.items()
        ],
        stop,
    )


def _column(
    options: argparse.Namespace,
    known: Sequence[KnownEntry],
    folder: Path,
    label: str,
    kernel: Kernel,
    progress: ProgressDisplay,
    crew: Crew,
    shared: SharedProgress | None,
) -> Column:
    run_dir = folder / kernel.key[:12]
    events = _whole(run_dir)
    if events is None:
        if run_dir.exists():
            progress.note(f"{label}: its run did not reach its end, and is made again")
            shutil.rmtree(run_dir)
        progress.line(f"kernel {label}")
        own = argparse.Namespace(**{**vars(options), "kernel": kernel.key, "output": run_dir})
        events = read_run(run_suites(own, known, crew, shared))
    made = judge_kernel(events)
    rows = {name: (row.failed, row.errors, row.total) for name, row in made.rows.items()}
    watched = {name for name, row in made.rows.items() if row.role is Role.WATCH}
    cells = cells_of(map(json_of_test, made.tests), rows, watched)
    return Column(label, kernel.key, str(run_dir), made.exit_status, cells, made.errors)


def _whole(run_dir: Path) -> list[Event] | None:
    """The events of a run that reached its end without an error of the lab; None if there is none."""
    if not (run_dir / "events.jsonl").is_file():
        return None
    events = read_run(run_dir)
    ended = any(isinstance(event, RunEnd) for event in events)
    return events if ended and judge_kernel(events).exit_status != LabError.exit_status else None


def _json(folder: Path, columns: Sequence[Column]) -> JsonObject:
    return {
        "run": str(folder),
        "kernels": [
            {
                "label": column.label,
                "kernel": column.kernel,
                "run": column.run,
                "exit": column.exit,
                "errors": list(column.errors),
                "results": {
                    name: {"result": cell.word, "good": cell.good, "message": cell.message}
                    for name, cell in sorted(column.cells.items())
                },
            }
            for column in columns
        ],
    }
