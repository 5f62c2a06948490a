# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: two kernels, the same suites on both, one verdict. Also `resume`, which is the same from the log."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panthorlab.errors import BuildError, LabError, UsageError
from panthorlab.kernel.job import build_side, cannot_differ, prepare_sides
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import PatchReport, Sides
from panthorlab.outcome import Side
from panthorlab.run import reports
from panthorlab.run.controller import Controller
from panthorlab.run.events import EventLog, new_run_dir, read_events
from panthorlab.run.intake import keep_patches
from panthorlab.run.job import Job
from panthorlab.run.kernels import parse_params, resolve_kernel
from panthorlab.run.plan import Slot, schedule
from panthorlab.run.progress import Progress
from panthorlab.run.suites import find_suites


def main(options: argparse.Namespace) -> int:
    """`panthorlab validate`: a new run. Returns the exit status."""
    if (options.before is None) != (options.after is None):
        raise UsageError("--before and --after go together", hint="name both kernels, or none and give a patch")
    suites = find_suites(options.suite)
    parse_params(options.param)
    run_dir = new_run_dir(options.output)
    progress = Progress(quiet=options.quiet)
    with EventLog(run_dir) as log:
        settings = {
            key: value for key, value in vars(options).items() if key not in ("output", "name", "json", "quiet")
        }
        settings["patch"] = keep_patches(options.patch, run_dir)
        log.append("run-start", options=settings, suites=list(suites), command=["panthorlab", *sys.argv[1:]])
        return _carry_on(run_dir, log, settings, progress, as_json=options.json)


def resume_main(options: argparse.Namespace) -> int:
    """`panthorlab resume RUN`: go on where a run stopped; a finished one is only reported again."""
    run_dir = options.run.resolve()
    events = read_events(run_dir)
    if not events or events[0]["event"] != "run-start":
        raise UsageError(f"{run_dir}: nothing to resume, that run never started", hint="start it again")
    with EventLog(run_dir) as log:
        settings = events[0]["options"]
        return _carry_on(run_dir, log, settings, Progress(quiet=options.quiet), as_json=options.json)


def _carry_on(run_dir: Path, log: EventLog, settings: Mapping[str, Any], progress: Progress, *, as_json: bool) -> int:
    began = time.monotonic()
    interrupted = ""
    try:
        job = _Validation(run_dir, log, settings, progress)
        job.run(began)
    except KeyboardInterrupt:
        interrupted = "interrupted"
        log.append("interrupted")
    finally:
        progress.finish()
        log.append("session", seconds=round(time.monotonic() - began, 2))
    events = read_events(run_dir)
    verdict = reports.judge(events, interrupted=interrupted)
    if not interrupted:
        log.append("run-end", verdict=verdict.verdict, exit=verdict.exit)
    reports.write(run_dir, read_events(run_dir), verdict, as_json=as_json)
    if interrupted:
        print(f"interrupted; continue with: panthorlab resume {run_dir}", file=sys.stderr)
    return verdict.exit


class _Validation:
    """One session of a run: whatever its events say is still to be done."""

    def __init__(self, run_dir: Path, log: EventLog, settings: Mapping[str, Any], progress: Progress) -> None:
        self._dir, self._log, self._settings, self._progress = run_dir, log, settings, progress

    def run(self, began: float) -> None:
        kernels = self._kernels()
        if kernels is None:
            return
        if any(event["event"] == "identical" for event in read_events(self._dir)):
            return
        options = self._settings
        suites = tuple(str(path) for path in find_suites(options["suite"]).values())

        def make_job(slot: Slot) -> Job:
            return Job(
                board=options["board"],
                kernel=kernels[slot.side].key,
                side=slot.side,
                slot=slot.name,
                boot="",
                index=slot.index,
                boots=options["boots"],
                run_dir=str(self._dir),
                log_dir="",
                suites=suites,
                expect_fix=options["expect"] == "fix",
                iterations=options["iterations"],
                seed=options["seed"],
                params=parse_params(options["param"]),
            )

        limit = options["time_limit"]
        with self._phase("boots and iterations"):
            Controller(
                self._log,
                self._dir,
                read_events(self._dir),
                make_job,
                jobs=options["jobs"],
                deadline=began + limit if limit else None,
                progress=self._progress.event,
            ).run(schedule(options["boots"]))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._log.append("phase", name=name, seconds=round(time.monotonic() - start, 2))

    def _kernels(self) -> dict[Side, Kernel] | None:
        """Both kernels, built if they must be; None if *after* does not build, which is then on record."""
        known = {Side(event["side"]): event for event in read_events(self._dir) if event["event"] == "kernel"}
        if set(known) == set(Side):
            return {side: self._resolve(known[side]["key"]) for side in Side}
        options = self._settings
        if options["before"] is not None:
            kernels = {Side.BEFORE: self._resolve(options["before"]), Side.AFTER: self._resolve(options["after"])}
            if options["swap"]:
                kernels = {Side.BEFORE: kernels[Side.AFTER], Side.AFTER: kernels[Side.BEFORE]}
            self._record_kernels(kernels)
            self._note_identical(kernels, None)
            return kernels
        with self._phase("sources and patches"):
            sides = prepare_sides(
                options["base"],
                options["patch"],
                revert=options["revert"],
                swap=options["swap"],
                fragments=fragments_of(options["board"], options["config"]),
                progress=self._progress.step,
            )
        self._record_sources(sides)
        built = self._build(sides)
        if built is not None:
            self._note_identical(built, sides)
        return built

    def _resolve(self, name: str) -> Kernel:
        return resolve_kernel(name, log=self._dir / "build.log", progress=self._progress.step)

    def _record_sources(self, sides: Sides) -> None:
        self._log.append(
            "source",
            base=sides.base.title,
            version=sides.base.version,
            patches=[{"title": item.title, "state": _fit(item), "source": item.origin} for item in sides.reports],
        )
        for item in sides.reports:
            self._progress.line(f"patch  {item.summary}")
        for note in sides.notes:
            if note.startswith("base:"):
                continue  # it has a line of its own
            self._log.append("note", text=note)
            self._progress.line(f"note   {note}")

    def _build(self, sides: Sides) -> dict[Side, Kernel] | None:
        log = self._dir / "build.log"
        with self._phase("build before"):
            try:
                before = build_side(sides.before, log=log, progress=self._progress.step)
            except BuildError as error:
                raise LabError(f"the base itself does not build: {error}", hint=error.hint or f"see {log}") from error
        with self._phase("build after"):
            try:
                after = build_side(sides.after, log=log, progress=self._progress.step)
            except BuildError as error:
                self._log.append("build-failed", side=Side.AFTER, message=str(error), log=str(log))
                return None
        kernels = {Side.BEFORE: before, Side.AFTER: after}
        self._record_kernels(kernels)
        return kernels

    def _record_kernels(self, kernels: Mapping[Side, Kernel]) -> None:
        for side, kernel in kernels.items():
            self._log.append(
                "kernel",
                side=side,
                key=kernel.key,
                build_id=kernel.build_id,
                release=kernel.release,
                title=kernel.title,
                path=str(kernel.path),
                fragments=list(kernel.fragments),
                patches=list(kernel.patches),
            )

    def _note_identical(self, kernels: Mapping[Side, Kernel], sides: Sides | None) -> None:
        before, after = kernels[Side.BEFORE], kernels[Side.AFTER]
        why = cannot_differ(sides, before, after) if sides is not None else _same_files(before, after)
        if why:
            self._log.append("identical", why=why)
            self._progress.line(f"note   {why}")


def _fit(report: PatchReport) -> str:
    reverse = "reverse " if report.reverse else ""
    return f"{reverse}{report.fit}" + (f" ({report.detail})" if report.detail else "")


def _same_files(before: Kernel, after: Kernel) -> str | None:
    same = before.digests and dict(before.digests) == dict(after.digests)
    return "Image, modules and DTBs are byte-identical" if same else None


def fragments_of(board: str, extra: list[str]) -> tuple[str, ...]:
    """Config fragments of a job: what every kernel needs, what the board's file says, and `--config`."""
    from panthorlab.board.config import read_board_file
    from panthorlab.board.registry import find_board_file

    return ("panthor", *read_board_file(find_board_file(board)).kernel_configs, *extra)
