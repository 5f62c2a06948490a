# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab replay RUN:ITERATION`: a boot in exact time once more, up to one iteration or one program of a test, with
everything written down.

What the traces record costs the guest no time, so it cannot notice them.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.board.boardtime import TimeName
from panthorlab.board.calls import UNSTOPPED, WAITING, watched
from panthorlab.board.exactrecord import ACCESSES, MESSAGES
from panthorlab.board.registry import open_board
from panthorlab.errors import LabError, UsageError
from panthorlab.files import write_whole
from panthorlab.gpu.exact.passed import FILE as CALLS_FILE
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Blame, Outcome
from panthorlab.report.faults import headline
from panthorlab.run.dependence import changed, dependence, read_kept
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.original import Original, before, differences, find_original, findings_of, parts_of
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BoardUp, BootEnd, BootStart, Doing, Event, Note, OfBoot, RunEnd
from panthorlab.run.record.codec import FindingJson, encode
from panthorlab.run.record.log import EventLog, new_run_dir
from panthorlab.run.record.runs import RunStart
from panthorlab.run.record.versions import VERSION
from panthorlab.run.traced import Stop, Traced
from panthorlab.run.traces import CALLS_LOG, write_page
from panthorlab.run.worker import Worker

TRACES: Final = {"trace": "on", "exact.record": "on"}
"""Parameters of the emulated GPU. They are the host's alone."""
CALLS: Final = {"exact.calls": "on"}
FILES: Final = {
    "trace": "gpu-trace.json",
    "accesses": ACCESSES,
    "messages": MESSAGES,
    "calls": CALLS_LOG,
    "kernel log": "kmsg.log",
}
DIFFERS: Final = 3


def refuse_others(original: Original) -> Kernel:
    """The kernel. Raises UsageError if a seed would be another run now: the kernel is gone, or what the boot depends on
    differs."""
    job = original.job
    if job.overlay and not Path(job.overlay).is_dir():
        raise UsageError(f"the overlay {job.overlay} is gone", hint="the boot cannot be repeated without it")
    if not Path(job.board).is_file():
        raise UsageError(f"the board's file {job.board} is gone", hint="the boot cannot be repeated without it")
    if missing := [suite for suite in job.suites if not Path(suite).is_file()]:
        raise UsageError(f"the suite {missing[0]} is gone", hint="the boot cannot be repeated without it")
    kernel = resolve_kernel(job.kernel, log=original.log_dir / "build.log")
    kept = read_kept(original.log_dir)
    now = dependence(job, kept.get("QEMU", "unknown"))  # QEMU's own version is known once it runs
    if unequal := list(changed(kept, now)):
        raise UsageError(
            f"the same seed would be another run now: not the same is {'; '.join(unequal)}",
            hint="run the suite again with `--time exact`, and repeat that run's iteration",
        )
    return kernel


def main(options: argparse.Namespace) -> int:
    """Exit status: 0 if all was as on record, 3 if not."""
    original = find_original(*parts_of(options.iteration))
    if options.gdb is not None and not original.findings:
        raise UsageError(f"{original.ran} has no fault before which it could be stopped", hint="leave --gdb out")
    kernel = refuse_others(original)
    places = watched(kernel) if options.trace_functions or options.gdb is not None else {}
    run_dir = new_run_dir(options.output)
    log_dir = _log_dir(original, run_dir)
    progress = ProgressDisplay(quiet=options.quiet)
    try:
        events = _repeat(original, run_dir, progress, {**TRACES, **(CALLS if places else {})})
        findings = findings_of(original.ran, events)
        unequal = _compared(original, events, log_dir)
        if places and not unequal:
            traced = Traced.of(original.ran, kernel, log_dir, places)
            write_whole(log_dir / CALLS_LOG, "".join(f"{line}\n" for line in traced.lines()))
        progress.finish()
        page = write_page(run_dir, events)
        if options.json:
            print(json.dumps(_as_json(original, findings, unequal, log_dir), indent=1), flush=True)
        else:
            _print(original, findings, unequal, log_dir)
            if page is not None:
                print(f"timeline  {page}")
            if options.trace_functions and not unequal:
                print((log_dir / CALLS_LOG).read_text(), end="")
            sys.stdout.flush()  # all this is known, whatever becomes of the debugger
        if places and not unequal and options.gdb is not None:
            _debug(original, run_dir, progress, traced.stop(findings[0]), options.gdb)
    finally:
        progress.finish()
        (log_dir / CALLS_FILE).unlink(missing_ok=True)
    return DIFFERS if unequal else 0


def _log_dir(original: Original, run_dir: Path) -> Path:
    return run_dir / "boots" / original.boot.boot


def _compared(original: Original, events: Sequence[Event], log_dir: Path) -> list[str]:
    """What was not as on record. Raises LabError if the boot proves nothing."""
    _check_board(original, events)
    end = next((event for event in events if isinstance(event, BootEnd)), None)
    unequal = list(differences(original.before, before(original.ran, events)))
    if unequal and end is not None and end.blame is Blame.LAB:
        raise LabError(f"the boot was not repeated: {end.reason}", hint=f"see {log_dir}")
    return unequal


def _debug(original: Original, run_dir: Path, progress: ProgressDisplay, stop: Stop, port: int) -> None:
    """Boot once more, and wait for gdb at the stop. `port`: 0: on a private socket."""
    progress.line(f"stop      {stop.text}")
    again = run_dir / "gdb"
    again.mkdir(exist_ok=True)
    texts: list[str] = []

    def on_doing(text: str) -> bool:
        if text.startswith(WAITING) and text not in texts:
            progress.finish()
            print(f"stopped; in another terminal:\n  {text.removeprefix(WAITING)}", file=sys.stderr, flush=True)
        texts.append(text)
        return text.startswith((WAITING, UNSTOPPED))

    params = {**TRACES, "exact.stop": str(stop.count), **({"exact.gdb": str(port)} if port else {})}
    events = _repeat(original, again, progress, params, on_doing)
    if not any(text.startswith(WAITING) for text in texts):
        end = next((event.reason for event in events if isinstance(event, BootEnd)), "it did not boot")
        why = next((text.removeprefix(UNSTOPPED) for text in texts if text.startswith(UNSTOPPED)), end)
        raise LabError(f"the guest was not stopped: {why}", hint=f"see {again}")
    unequal = list(differences(original.before, before(original.ran, events)))
    progress.line(f"gdb       {'what came after it differs: ' + unequal[0] if unequal else 'all came as without it'}")


def _check_board(original: Original, events: Sequence[Event]) -> None:
    """Raises LabError if the board was another one than then: what it did proves nothing."""
    for board in (event for event in events if isinstance(event, BoardUp)):
        if board.facts.get("time") != TimeName.EXACT:
            raise LabError("the board lived in the host's time", hint=str(board.facts.get("time_why") or ""))
        if board.facts.get("qemu") != (then := read_kept(original.log_dir).get("QEMU")):
            raise LabError(f"QEMU is {board.facts.get('qemu')} now and was {then}", hint="a seed is for one QEMU")


def _repeat(
    original: Original,
    run_dir: Path,
    progress: ProgressDisplay,
    params: Mapping[str, str],
    on_doing: Callable[[str], bool] = lambda _text: False,
) -> Sequence[Event]:
    """The events of the boot, which are also in the log of the new run. `on_doing`: gets what the boot does; True: it
    need not be shown."""
    boot, log_dir, events = original.boot.boot, _log_dir(original, run_dir), list[Event]()
    job = replace(
        original.job,
        run_dir=str(run_dir),
        log_dir=str(log_dir),
        params={**original.job.params, **params},
        until=original.ran,
    )
    log_dir.mkdir(parents=True, exist_ok=True)
    write_whole(log_dir / "job.json", json.dumps(encode(job), indent=1))
    with EventLog(run_dir) as log:

        def record(event: OfBoot) -> None:
            event = replace(event, boot=boot, slot=original.boot.slot, arm=original.boot.arm)
            if not isinstance(event, Doing):
                events.append(log.append(event))
            elif on_doing(event.text):
                return
            progress.event(event)

        log.append(
            RunStart(
                options=original.start.options,
                suites=original.start.suites,
                version=VERSION,
                replay_of=f"{original.log_dir.parent.parent}:{original.ran}",
            )
        )
        log.append(replace(original.kernel, time=0.0))
        log.append(Note(text=f"a replay of {original.ran} of {original.log_dir.parent.parent}"))
        record(BootStart(kernel=job.kernel, board=original.boot.board, variant=original.boot.variant))
        board = open_board(job.board)
        with board.leased(run_dir, wait=0.0, on_note=progress.note):
            if why := Worker(board, log_dir, record, threading.Event()).run():
                record(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason=why))
        log.append(RunEnd())
    return events


def _files(log_dir: Path) -> dict[str, str]:
    return {name: str(log_dir / file) for name, file in FILES.items() if (log_dir / file).is_file()}


def _as_json(original: Original, findings: Sequence[FindingJson], unequal: Sequence[str], log_dir: Path) -> JsonObject:
    return {
        "exit": DIFFERS if unequal else 0,
        "iteration": original.ran,
        "workload": original.workload,
        "iterations": len(original.before.iterations),
        "tests": len(original.before.tests),
        "seed": original.job.seed,
        "kernel": original.job.kernel,
        "differences": list(unequal),
        "findings": [dict(finding) for finding in findings],
        "files": dict(_files(log_dir)),
    }


def _print(original: Original, findings: Sequence[FindingJson], unequal: Sequence[str], log_dir: Path) -> None:
    job, title = original.job, original.kernel.title
    print(f"replay    {original.ran} ({original.workload}), seed {job.seed}, kernel {title}")
    if unequal:
        print(f"DIFFERS   {unequal[0]}")
        if len(unequal) > 1:
            print(f"          and {len(unequal) - 1} more")
    else:
        print(f"same      {original.before} of the boot up to it, with every finding at its time")
    for finding in () if unequal else findings:
        print(f"  at {finding.get('timestamp')} s of the guest's time: {headline(finding)}")
    for name, file in _files(log_dir).items():
        print(f"{name:9} {file}")
