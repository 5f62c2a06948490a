# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run`: boot one kernel; run suites, or one command, on it."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panthorlab.board.registry import find_board_file, open_board
from panthorlab.errors import LabError, UsageError
from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.run import fleet
from panthorlab.run.controller import Controller
from panthorlab.run.events import Event, EventLog, new_run_dir, read_events, read_run, why_ended
from panthorlab.run.job import Job
from panthorlab.run.kernels import parse_params, resolve_kernel
from panthorlab.run.known import known_of, only_known, read_known
from panthorlab.run.limits import TimeLimitReached, time_limit
from panthorlab.run.plan import Slot
from panthorlab.run.progress import Progress
from panthorlab.run.suites import find_suites

NO_LIMIT = 365 * 86400.0


def main(options: argparse.Namespace) -> int:
    """Returns the exit status: COMMAND's, if it ran; else 0 if all tests passed, 1 if one failed, 4 for the lab."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if options.overlay is not None and not options.overlay.is_dir():
        raise UsageError(f"--overlay {options.overlay}: no such directory")
    parse_params(options.param)
    known = read_known(options.known)
    if known and command:
        raise UsageError("--known is for suites: COMMAND decides its own status", hint="leave it out")
    try:
        with time_limit(options.time_limit):
            return _command(options, command) if command else _suites(options, known)
    except TimeLimitReached:
        raise LabError(
            f"the time limit of {options.time_limit:g} s was reached", hint="raise --time-limit, or ask for less"
        ) from None


def _command(options: argparse.Namespace, command: list[str]) -> int:
    name = fleet.choose_one(options)
    progress = Progress(quiet=options.quiet)
    run_dir = new_run_dir(options.output)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step)
    board = open_board(name)
    params = parse_params(options.param) | {"seed": str(options.seed)}
    out, err = _Capture(sys.stdout.buffer, echo=not options.json), _Capture(sys.stderr.buffer, echo=not options.json)
    with (
        fleet.leased(name, run_dir, wait=options.wait, on_note=progress.line),
        board.boot(
            kernel,
            log_dir=run_dir,
            overlay=options.overlay,
            params=params,
            on_progress=progress.step,
            method=options.boot_method,
        ) as booted,
    ):
        progress.finish()
        process = booted.shell.start(_resolve(command, booted.work_dir), on_stdout=out, on_stderr=err)
        try:
            status = process.wait(NO_LIMIT)
        finally:
            process.kill()
    status = 128 - status if status < 0 else status
    if options.json:
        print(
            json.dumps(
                {
                    "exit": status,
                    "ran": True,
                    "command": command,
                    "board": board.name,
                    "kernel": kernel.key,
                    "build_id": kernel.build_id,
                    "run": str(run_dir),
                    "stdout": out.text(),
                    "stderr": err.text(),
                },
                indent=1,
            )
        )
    return status


def _resolve(command: list[str], work_dir: str) -> list[str]:
    """The board's own workloads can be named without their directory."""
    workloads = {"heap-exit", "gpu-job", "iterate", "kmsg-follow"}
    return [f"{work_dir}/{command[0]}", *command[1:]] if command[0] in workloads else command


class _Capture:
    """A callback that keeps what it gets, and echoes it at once."""

    def __init__(self, stream: Any, *, echo: bool) -> None:
        self._stream, self._echo = stream, echo
        self._data = bytearray()
        self._lock = threading.Lock()

    def __call__(self, chunk: bytes) -> None:
        with self._lock:
            if self._echo:
                self._stream.write(chunk)
                self._stream.flush()
            else:
                self._data += chunk

    def text(self) -> str:
        with self._lock:
            return self._data.decode("utf-8", "replace")


def _suites(options: argparse.Namespace, known: Sequence[Mapping[str, str]]) -> int:
    chosen = fleet.choose(options)
    settings = fleet.recorded(options, chosen) | {"kernel": options.kernel, "jobs": options.jobs, "known": known}
    suites = find_suites(options.suite)
    params = parse_params(options.param)
    run_dir = new_run_dir(options.output)
    progress = Progress(quiet=options.quiet)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step)

    def make_job(slot: Slot) -> Job:
        return Job(
            board=str(find_board_file(slot.board).resolve()),
            kernel=kernel.key,
            side=Side.AFTER,
            slot=slot.name,
            boot="",
            index=slot.index,
            boots=options.boots * len(chosen.boards),
            run_dir=str(run_dir),
            log_dir="",
            suites=tuple(map(str, suites.values())),
            expect_fix=False,
            iterations=options.iterations,
            seed=options.seed,
            params=params,
            overlay=str(options.overlay.resolve()) if options.overlay else None,
            boot_method=options.boot_method,
            fresh=slot.fresh,
        )

    with EventLog(run_dir) as log:
        log.append("run-start", options=settings, suites=list(suites))
        for note in chosen.notes:
            log.append("note", text=note)
            progress.line(f"note   {note}")
        slots = [
            Slot(Side.AFTER, number * options.boots + turn, board)
            for number, board in enumerate(chosen.boards) for turn in range(options.boots)
        ]
        try:
            Controller(
                log,
                run_dir,
                read_events(run_dir),
                make_job,
                lanes=fleet.lanes(settings),
                progress=progress.event,
            ).run(slots)
            log.append("run-end")
        finally:
            progress.finish()
    return summary(run_dir, read_run(run_dir), as_json=options.json)


def summary(run_dir: Path, events: Sequence[Event], *, as_json: bool) -> int:
    """One line per workload and failed test; the exit status. What the lab did to a boot that was then done again is
    no error, but told."""
    suites = events[0]["suites"]
    notes = [f"boot {event['boot']}: {why_ended(event)}" for event in _done_again(events)]
    boots = {event["boot"] for event in _done_again(events)}
    events = [event for event in events if event.get("boot") not in boots or event.get("outcome") != Outcome.ERROR]
    known = known_of(events[0].get("options", {}))
    rows: dict[str, list[int]] = {}
    failed: list[str] = []
    errors: list[str] = []
    for event in events:
        if event["event"] == "iteration":
            row = rows.setdefault(f"{event['role']:7} {event['workload']}", [0, 0, 0, 0])
            row[0] += event["terminations"]
            if event["outcome"] == Outcome.FAIL and only_known(event, known):
                notes.append(f"{event['id']}: known: {event['message']}")
                continue
            row[1] += event["outcome"] == Outcome.FAIL
            row[2] += event["outcome"] == Outcome.ERROR
            row[3] += event.get("cut", False)
            bad = event["outcome"] in (Outcome.FAIL, Outcome.ERROR)
            if bad and (event["role"] != "watch" or event["outcome"] == Outcome.ERROR):
                (errors if event["outcome"] == Outcome.ERROR else failed).append(f"{event['id']}: {event['message']}")
        elif event["event"] == "test" and event["outcome"] in (Outcome.FAIL, Outcome.ERROR):
            (errors if event["outcome"] == Outcome.ERROR else failed).append(
                f"{event['suite']}::{event['test']}: {event['message']}"
            )
        elif event["event"] == "boot-end" and event["outcome"] != Outcome.PASS:
            (failed if event["blame"] == "kernel" else errors).append(f"boot {event['boot']}: {why_ended(event)}")
    tests = [event for event in events if event["event"] == "test"]
    if not any(event["event"] == "run-end" for event in events):
        errors.append("the run did not reach its end")
    if not rows and not tests and not errors and not failed:
        errors.append("nothing ran")
    status = 4 if errors else 1 if failed else 0
    if as_json:
        print(
            json.dumps(
                {
                    "exit": status,
                    "run": str(run_dir),
                    "suites": suites,
                    "failed": failed,
                    "errors": errors,
                    "notes": notes,
                    "workloads": {
                        name.split()[1]: {"iterations": n, "failed": f, "errors": e, "cut": c}
                        for name, (n, f, e, c) in rows.items()
                    },
                    "tests": [{key: test[key] for key in ("suite", "test", "outcome", "message")} for test in tests],
                    "findings": [
                        finding for event in events if event["event"] == "iteration" for finding in event["findings"]
                    ],
                },
                indent=1,
            )
        )
        return status
    for name, (total, failures, broken, cut) in rows.items():
        spoiled = f", {broken} without evidence" if broken else ""
        print(f"{name:36} {failures}/{total} failed{spoiled}" + (f", {cut} left out after that" if cut else ""))
    passed = sum(test["outcome"] == Outcome.PASS for test in tests)
    print(f"tests: {passed} of {len(tests)} passed")
    for kind, lines in (("FAILED", failed), ("ERROR", errors), ("note", notes)):
        for line in lines[:10]:
            print(f"{kind} {line}")
        if len(lines) > 10:
            print(f"… and {len(lines) - 10} more")
    print(f"run: {run_dir}")
    return status


def _done_again(events: Sequence[Event]) -> list[Event]:
    """The ends of boots that the lab failed, and whose slot was then completed by another one."""
    ends = [event for event in events if event["event"] == "boot-end"]
    complete = {event["slot"] for event in ends if event["complete"]}
    return [event for event in ends
            if not event["complete"] and event["blame"] != Blame.KERNEL and event["slot"] in complete]
