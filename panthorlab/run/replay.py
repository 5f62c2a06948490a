# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab replay RUN:ITERATION`: a boot in exact time once more, up to one iteration, with everything written down.

What the traces record costs the guest no time, so it cannot notice them.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
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
from panthorlab.run.job import Job
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import ArmKernel, BoardUp, BootEnd, BootStart, Doing, Event, Iteration, Note, OfBoot, RunEnd
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog, new_run_dir, read_run
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
OF_HOST: Final = ("time", "boot", "arm", "slot")
"""What an iteration has from the controller: when it was written down, and its place in the plan."""


@dataclass(frozen=True)
class Original:
    """The iteration to be repeated, and `before`: those of its boot that are on record up to it, itself the last."""

    iteration: Iteration
    before: tuple[Iteration, ...]
    job: Job
    log_dir: Path
    start: RunStart
    kernel: ArmKernel
    boot: BootStart


def find_original(run: str, iteration: str) -> Original:
    """Raises UsageError if there is no such iteration, or it cannot be repeated."""
    run_dir = Path(run)
    events = read_run(run_dir)
    ran = [event for event in events if isinstance(event, Iteration) and not event.cut]
    wanted = next((event for event in ran if event.id == iteration), None)
    if wanted is None:
        faulty = [event.id for event in ran if event.outcome is not Outcome.PASS]
        hint = f"faulty ones are {', '.join(faulty[:5])}" if faulty else "result.json of the run has their ids"
        raise UsageError(f"{run} has no iteration {iteration} that ran", hint=hint)
    boot = next(event for event in events if isinstance(event, BootStart) and event.boot == wanted.boot)
    board = next(event for event in events if isinstance(event, BoardUp) and event.boot == wanted.boot)
    if board.facts.get("time") != TimeName.EXACT:
        raise UsageError(
            f"{iteration} ran in the host's time: nobody can repeat it", hint="run its suite again with `--time exact`"
        )
    log_dir = run_dir.resolve() / "boots" / wanted.boot
    try:
        job = Job.read(json.loads((log_dir / "job.json").read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{log_dir / 'job.json'}: {error}", hint="without it the boot cannot be repeated") from None
    of_boot = [event for event in ran if event.boot == wanted.boot]
    return Original(
        wanted,
        tuple(of_boot[: of_boot.index(wanted) + 1]),
        job,
        log_dir,
        next(event for event in events if isinstance(event, RunStart)),
        next(event for event in events if isinstance(event, ArmKernel) and event.arm == wanted.arm),
        boot,
    )


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


def differences(then: Sequence[Iteration], now: Sequence[Iteration]) -> Iterator[str]:
    """What differs between the iterations on record and those of the replay, in order, in words."""
    for old, new in zip(then, now, strict=False):
        names = [field.name for field in fields(Iteration) if field.name not in OF_HOST]
        if unequal := [name for name in names if getattr(old, name) != getattr(new, name)]:
            yield f"iteration {old.id}: {', '.join(unequal)}"
    if len(now) < len(then):
        yield f"iteration {then[len(now)].id}: it was not reached"


def main(options: argparse.Namespace) -> int:
    """Exit status: 0 if all was as on record, 3 if not."""
    run, colon, iteration = options.iteration.rpartition(":")
    if not colon:
        raise UsageError(f"{options.iteration} is not RUN:ITERATION", hint="for instance runs/…:after1.1.3-17")
    original = find_original(run, iteration)
    if options.gdb is not None and not original.iteration.findings:
        raise UsageError(f"{iteration} has no fault before which it could be stopped", hint="leave --gdb out")
    kernel = refuse_others(original)
    places = watched(kernel) if options.trace_functions or options.gdb is not None else {}
    run_dir = new_run_dir(options.output)
    log_dir = _log_dir(original, run_dir)
    progress = ProgressDisplay(quiet=options.quiet)
    try:
        events = _repeat(original, run_dir, progress, {**TRACES, **(CALLS if places else {})})
        again = [event for event in events if isinstance(event, Iteration)]
        unequal = _compared(original, events, log_dir)
        if places and not unequal:
            traced = Traced.of(iteration, kernel, log_dir, places)
            write_whole(log_dir / CALLS_LOG, "".join(f"{line}\n" for line in traced.lines()))
        progress.finish()
        page = write_page(run_dir, events)
        if options.json:
            print(json.dumps(_as_json(original, again, unequal, log_dir), indent=1), flush=True)
        else:
            _print(original, again, unequal, log_dir)
            if page is not None:
                print(f"timeline  {page}")
            if options.trace_functions and not unequal:
                print((log_dir / CALLS_LOG).read_text(), end="")
            sys.stdout.flush()  # all this is known, whatever becomes of the debugger
        if places and not unequal and options.gdb is not None:
            _debug(original, run_dir, progress, traced.stop(again[-1].findings[0]), options.gdb)
    finally:
        progress.finish()
        (log_dir / CALLS_FILE).unlink(missing_ok=True)
    return DIFFERS if unequal else 0


def _log_dir(original: Original, run_dir: Path) -> Path:
    return run_dir / "boots" / original.iteration.boot


def _compared(original: Original, events: Sequence[Event], log_dir: Path) -> list[str]:
    """What was not as on record. Raises LabError if the boot proves nothing."""
    _check_board(original, events)
    end = next((event for event in events if isinstance(event, BootEnd)), None)
    unequal = list(differences(original.before, [event for event in events if isinstance(event, Iteration)]))
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
    unequal = list(differences(original.before, [event for event in events if isinstance(event, Iteration)]))
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
    boot, log_dir, events = original.iteration.boot, _log_dir(original, run_dir), list[Event]()
    job = replace(
        original.job,
        run_dir=str(run_dir),
        log_dir=str(log_dir),
        params={**original.job.params, **params},
        until=original.iteration.id,
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
                replay_of=f"{original.log_dir.parent.parent}:{original.iteration.id}",
            )
        )
        log.append(replace(original.kernel, time=0.0))
        log.append(Note(text=f"a replay of {original.iteration.id} of {original.log_dir.parent.parent}"))
        record(BootStart(kernel=job.kernel, board=original.boot.board, variant=original.boot.variant))
        board = open_board(job.board)
        with board.leased(run_dir, wait=0.0, on_note=progress.note):
            if why := Worker(board, log_dir, record, threading.Event()).run():
                record(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason=why))
        log.append(RunEnd())
    return events


def _files(log_dir: Path) -> dict[str, str]:
    return {name: str(log_dir / file) for name, file in FILES.items() if (log_dir / file).is_file()}


def _as_json(original: Original, again: Sequence[Iteration], unequal: Sequence[str], log_dir: Path) -> JsonObject:
    return {
        "exit": DIFFERS if unequal else 0,
        "iteration": original.iteration.id,
        "workload": original.iteration.workload,
        "iterations": len(original.before),
        "seed": original.job.seed,
        "kernel": original.job.kernel,
        "differences": list(unequal),
        "findings": [dict(finding) for event in again[-1:] for finding in event.findings],
        "files": dict(_files(log_dir)),
    }


def _print(original: Original, again: Sequence[Iteration], unequal: Sequence[str], log_dir: Path) -> None:
    wanted, count = original.iteration, len(original.before)
    print(f"replay    {wanted.id} ({wanted.workload}), seed {original.job.seed}, kernel {original.kernel.title}")
    if unequal:
        print(f"DIFFERS   {unequal[0]}")
        if len(unequal) > 1:
            print(f"          and {len(unequal) - 1} more")
    else:
        print(f"same      all {count} iterations of the boot up to it, with every finding at its time")
    for finding in again[-1].findings if again and not unequal else ():
        print(f"  at {finding.get('timestamp')} s of the guest's time: {headline(finding)}")
    for name, file in _files(log_dir).items():
        print(f"{name:9} {file}")
