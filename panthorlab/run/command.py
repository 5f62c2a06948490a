# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run … -- COMMAND`: one command on a booted board, and what the kernel said meanwhile.

COMMAND's exit status is COMMAND's. What the kernel log has of the whole boot is told after it, and judged by the same
rules as suites: any finding is the kernel's fault.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Final

from panthorlab.board.api import BootedBoard, RemoteProcess, RunDigest
from panthorlab.board.onboard import programs
from panthorlab.coverage.counts import AFTERWARDS
from panthorlab.errors import BootError, LabError, PanthorlabError
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.driver import driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.kmsg import Kind
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.scan import scan_bytes
from panthorlab.outcome import Outcome as Judged
from panthorlab.report.faults import headline
from panthorlab.run import fleet, measure
from panthorlab.run.arms import ALONE
from panthorlab.run.bootend import never_reached
from panthorlab.run.evidence import LogFollower
from panthorlab.run.iterations import LOG_DEADLINE, Batch
from panthorlab.run.judge import as_json
from panthorlab.run.kernels import notes_of, parse_params, resolve_kernel
from panthorlab.run.meter import Meter, open_meter
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record.log import new_run_dir
from panthorlab.run.tracer import check_kernel, record_accesses
from panthorlab.run.workload import Workload

STEP: Final = 0.5
"""Seconds between looks at the kernel log while COMMAND runs."""
ALIVE_STEPS: Final = 20
"""Steps between asking the board whether it is still there."""
DYING: Final = 3.0
"""Seconds that COMMAND has to end by itself after an oops: it may be what the kernel has killed."""
OVERLAP: Final = 1 << 16
"""Bytes of log looked at again at each step: more than an oops has."""
DEADLY: Final = frozenset({Kind.OOPS, Kind.PANIC})
SETTLE: Final = Workload("settle/info", ("gpu-job", "--mode", "info"))
SETTLE_WITHOUT_JOBS: Final = Workload("settle/gpu-info", ("gpu-job", "--mode", "gpu-info"), sentinel=False)
MOST_SHOWN: Final = 10
"""Findings that are shown on stderr at most; all are in the JSON and in the log."""


@dataclass
class CommandResult:
    """What came of COMMAND: its `status`, or None if it did not end by itself, and `died`, why. `findings` of the
    whole boot; `holes`: why there may be others that nobody saw. `digest`: what tells this boot from others, in exact
    time; `notes`: what a reader must know."""

    status: int | None = None
    died: PanthorlabError | None = None
    findings: list[Finding] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    digest: RunDigest | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def judged(self) -> int:
        """Exit status that the kernel log alone would give: 4 if it is not whole and shows nothing, 1 for a finding."""
        if self.findings or isinstance(self.died, BootError):
            return 1
        return 4 if self.holes or self.died is not None else 0


def main(options: argparse.Namespace, command: list[str]) -> int:
    """Boot, run COMMAND, tell what the kernel said. COMMAND's exit status, or that of what kept it from ending."""
    board = fleet.choose_one(options)
    progress = ProgressDisplay(quiet=options.quiet)
    run_dir = new_run_dir(options.output)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step, driver=options.driver)
    for note in notes_of(kernel):
        progress.note(note)
    if options.recording is not None:
        check_kernel(kernel)
    if options.overlay is None and board.emulated and command[0] not in programs(kernel):
        options.overlay = overlay_dir("shell", progress)  # the board has nothing but our own programs
    meter = open_meter(measure.prepare(run_dir, ALONE, kernel, [board]), run_dir) if options.coverage else None
    params = parse_params(options.param) | {"seed": str(options.seed)}
    out, err = _Capture(sys.stdout.buffer, echo=not options.json), _Capture(sys.stderr.buffer, echo=not options.json)
    outcome = CommandResult()
    try:
        with (
            board.leased(run_dir, wait=options.wait, on_note=progress.line),
            board.boot(
                kernel,
                log_dir=run_dir,
                overlay=options.overlay,
                params=params,
                on_progress=progress.step,
                method=options.boot_method,
                counts=meter.counts if meter is not None else None,
                time=options.time,
            ) as booted,
        ):
            progress.finish()
            if why := booted.facts().get("time_why"):
                outcome.notes.append(f"{board.name} lives in the host's time, not in exact time: {why}")
            if meter is not None:
                meter.check(booted.shell)
            settle = SETTLE if "groups" in driver_of(kernel).features else SETTLE_WITHOUT_JOBS
            with record_accesses(booted, kernel, options.recording, command):
                _run(booted, _resolve(command, kernel, booted.work_dir), run_dir, outcome, (out, err), settle, meter)
            if outcome.died is None and (why := never_reached(params, outcome.digest)):
                outcome.holes.append(why)
    finally:
        progress.finish()
        _tell(outcome, run_dir)
    ran = measure.conclude_boot(run_dir) if meter is not None else None
    if out.error is not None:
        raise out.error
    status = outcome.died.exit_status if outcome.died else outcome.status or 0
    if options.json:
        told = _as_json(outcome, status, command, kernel, (out, err))
        print(json.dumps({**told, "board": board.name, "run": str(run_dir), "coverage": ran}, indent=1))
    return status


def _as_json(
    outcome: CommandResult, status: int, command: list[str], kernel: Kernel, streams: tuple[_Capture, _Capture]
) -> JsonObject:
    out, err = streams
    return {
        "exit": status,
        "ran": outcome.status is not None,
        "command": command,
        "kernel": kernel.key,
        "build_id": kernel.build_id,
        "notes": [*notes_of(kernel), *outcome.notes],
        "stdout": out.text(),
        "stderr": err.text(),
        "error": str(outcome.died) if outcome.died else None,
        "findings": [as_json(finding) for finding in outcome.findings],
        "holes": outcome.holes,
        "findings_exit": outcome.judged,
        "digest": asdict(outcome.digest) if outcome.digest else None,
    }


def _run(
    booted: BootedBoard,
    argv: list[str],
    run_dir: Path,
    outcome: CommandResult,
    streams: tuple[_Capture, _Capture],
    settle: Workload,
    meter: Meter | None = None,
) -> None:
    """Fills in `outcome`, also when it is interrupted. `settle`: see `_settle`. `meter`: what
    measures the boot, if it is measured."""
    out, err = streams
    log = LogFollower(booted, run_dir / "kmsg.log")
    try:
        with log:
            if meter is not None:
                meter.begin(booted.shell, "command")
            process = booted.shell.start(argv, on_stdout=out, on_stderr=err)
            try:
                outcome.status = _wait(booted, process, run_dir / "kmsg.log", out)
            finally:
                process.kill()
            if meter is not None:
                meter.begin(booted.shell, AFTERWARDS)
            _settle(booted, log, outcome, settle)
            if meter is not None:
                meter.end(booted.shell)
            outcome.digest = booted.digest()
    except PanthorlabError as error:
        outcome.died = error if outcome.status is None else None
        outcome.holes += [] if outcome.status is None else [str(error)]
    finally:
        known = log.findings()
        seen = {finding.signature for finding in known}
        # The kernel's last words may have reached the console alone.
        outcome.findings = [*known, *(finding for finding in log.last_words() if finding.signature not in seen)]
        outcome.holes += [f"{hazard.kind}: {hazard.text}" for hazard in booted.hazards()]
        outcome.holes += ["records of the kernel log were lost"] if log.lost_records else []
        outcome.holes = list(dict.fromkeys(outcome.holes))


def _wait(booted: BootedBoard, process: RemoteProcess, kmsg: Path, out: _Capture) -> int:
    """COMMAND's exit status. Raises BootError when the kernel oopses and COMMAND does not end of it."""
    watches = _Watch(kmsg), _Watch(booted.console_log)
    for step in itertools.count():
        try:
            status = process.wait(STEP)
        except LabError:
            if process.ended:
                raise
        else:
            return 128 - status if status < 0 else status
        if out.error is not None:
            raise LabError("standard output cannot be written, so the command was ended")
        crash = next((found for watch in watches if (found := watch.crash())), None)
        if crash is not None:
            return _after(crash, process, DYING * booted.slowness)
        if step % ALIVE_STEPS == ALIVE_STEPS - 1:
            booted.check_alive()
    raise AssertionError("unreachable")


def _after(crash: Finding, process: RemoteProcess, patience: float) -> int:
    try:
        status = process.wait(patience)
    except LabError as error:
        raise BootError(
            f"the command did not end by itself after: {crash.text.splitlines()[0]}",
            hint="it was waiting for what crashed; the kernel log has the rest",
        ) from error
    return 128 - status if status < 0 else status


def _settle(booted: BootedBoard, log: LogFollower, outcome: CommandResult, settle: Workload) -> None:
    """Wait, by `settle` (a job of a fresh process, if the driver takes any) and its markers, until the GPU
    is done with COMMAND and the log has told it."""
    crash = next((found for found in (*log.findings(), *log.last_words()) if found.kind in DEADLY), None)
    if crash is not None:  # a further job would only hang on what the crash has left locked
        outcome.holes.append(f"what the kernel said last may be missing: it crashed: {crash.text.splitlines()[0]}")
        return
    batch = Batch(booted, log, settle, prefix="settle", count=1, log_deadline=LOG_DEADLINE, on_result=None)
    try:
        batch.run()
    except PanthorlabError as error:
        outcome.holes.append(f"what the kernel said last may be missing: {error}")
        return
    outcome.holes += [
        f"after the command: {one.message}"
        for one in batch.events
        if one.outcome is not Judged.PASS and not one.findings
    ]


def _tell(outcome: CommandResult, run_dir: Path) -> None:
    """What the kernel said, where the run is, and what ended COMMAND if it did not end by itself: on stderr."""
    lines = []
    if outcome.findings:
        count = len(outcome.findings)
        lines.append(f"panthorlab: the kernel log has {count} finding{'s' * (count > 1)} of this boot:")
        groups = Counter(finding.signature for finding in outcome.findings)
        first = {finding.signature: finding for finding in reversed(outcome.findings)}
        lines += [
            f"  {number} × {headline(as_json(first[signature]))} (line {first[signature].line}, {signature})"
            for signature, number in groups.most_common(MOST_SHOWN)
        ]
        if len(groups) > MOST_SHOWN:
            lines.append(f"  and {len(groups) - MOST_SHOWN} other kinds of finding")
    lines += [f"panthorlab: {note}" for note in outcome.notes]
    if outcome.digest is not None:
        lines.append(f"digest of this run: {outcome.digest.sha256} ({outcome.digest.instructions} instructions)")
    lines += [f"panthorlab: the kernel log proves nothing more: {hole}" for hole in outcome.holes[:MOST_SHOWN]]
    if outcome.died is not None:
        lines.append(f"panthorlab: {outcome.died}")
        lines += [f"  hint: {outcome.died.hint}"] if outcome.died.hint else []
    lines.append(f"run: {shlex.quote(str(run_dir))}")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _resolve(command: Sequence[str], kernel: Kernel, work_dir: str) -> list[str]:
    """A program of ours can be named without its directory."""
    return [f"{work_dir}/{command[0]}", *command[1:]] if command[0] in programs(kernel) else list(command)


class _Watch:
    """Looks for a crash in what a growing log has got since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, 0

    def crash(self) -> Finding | None:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size == self._seen:
                    return None
                file.seek(max(0, self._seen - OVERLAP))
                data, self._seen = file.read(), size
        except FileNotFoundError:  # nothing was said yet
            return None
        return next((found for found in scan_bytes(data) if found.kind in DEADLY), None)


class _Capture:
    """A callback that keeps what it gets, or echoes it at once; `error`: why that went wrong, if it did."""

    def __init__(self, stream: IO[bytes], *, echo: bool) -> None:
        self._stream, self._echo = stream, echo
        self._data = bytearray()
        self._lock = threading.Lock()
        self.error: OSError | None = None

    def __call__(self, chunk: bytes) -> None:
        with self._lock:
            if not self._echo:
                self._data += chunk
            elif self.error is None:
                try:
                    self._stream.write(chunk)
                    self._stream.flush()
                except OSError as error:  # raised in the shell's reader, it would look like a lost board
                    self.error = error

    def text(self) -> str:
        with self._lock:
            return self._data.decode("utf-8", "replace")
