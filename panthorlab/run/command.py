# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run -- COMMAND`: one program on one booted kernel. Its status is the exit status; what the kernel log has
to say is told after it, whatever the status."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panthorlab.board.api import BootedBoard
from panthorlab.board.registry import open_board
from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError
from panthorlab.kmsg.model import Finding
from panthorlab.report.faults import headline
from panthorlab.run import fleet
from panthorlab.run.events import new_run_dir
from panthorlab.run.evidence import LogFollower
from panthorlab.run.iterations import CRASHES, Batch
from panthorlab.run.kernels import parse_params, resolve_kernel
from panthorlab.run.progress import Progress
from panthorlab.run.workload import Workload

GRACE: Final = 5.0
"""Seconds that COMMAND may go on after the kernel has crashed under it."""
LOG_DEADLINE: Final = 20.0
_POLL: Final = 0.1
_LOOK: Final = 2.0
_PROGRAMS: Final = frozenset({"heap-exit", "gpu-job", "iterate", "kmsg-follow"})
# It does nothing but have markers around it: when they have come, so has all that was logged before.
_NOTHING: Final = Workload("gpu-job/--help", ("gpu-job", "--help"), deadline=30.0, sentinel=False)


@dataclass(frozen=True)
class Ran:
    """What came of COMMAND. `status`: its exit status, None if it did not end by itself. `died`: why not.

    `findings`: of the kernel log since the boot. `holes`: why the log may not have all of them. `stopped`: Ctrl-C, or
    the time limit.
    """

    status: int | None
    findings: Sequence[Finding]
    died: PanthorlabError | None = None
    holes: Sequence[str] = ()
    stopped: KeyboardInterrupt | None = None

    @property
    def exit_status(self) -> int:
        if self.status is None:
            return self.died.exit_status if self.died is not None else LabError.exit_status
        return 128 - self.status if self.status < 0 else self.status

    @property
    def kernel_exit(self) -> int:
        """What the kernel log alone would say: 1 for a finding, 4 if it is not whole, else 0."""
        if self.findings or isinstance(self.died, BootError):
            return BootError.exit_status
        return LabError.exit_status if self.holes or self.died is not None else 0


def main(options: argparse.Namespace, command: Sequence[str]) -> int:
    """Boot, run COMMAND, tell what the kernel said. Returns the exit status."""
    name = fleet.choose_one(options)
    progress = Progress(quiet=options.quiet)
    run_dir = new_run_dir(options.output)
    kernel = resolve_kernel(options.kernel, log=run_dir / "build.log", progress=progress.step)
    params = parse_params(options.param) | {"seed": str(options.seed)}
    out, err = _Capture(sys.stdout.buffer, echo=not options.json), _Capture(sys.stderr.buffer, echo=not options.json)
    with (
        fleet.leased(name, run_dir, wait=options.wait, on_note=progress.line),
        open_board(name).boot(
            kernel,
            log_dir=run_dir,
            overlay=options.overlay,
            params=params,
            on_progress=progress.step,
            method=options.boot_method,
        ) as board,
    ):
        progress.finish()
        ran = _run(board, run_dir, _resolve(command, board.work_dir), out, err)
    if ran.stopped is not None:
        _tell(ran, run_dir, quiet=options.quiet)
        raise ran.stopped
    if options.json:
        about = {"command": list(command), "board": board.name, "kernel": kernel.key, "build_id": kernel.build_id,
                 "run": str(run_dir), "stdout": out.text(), "stderr": err.text()}
        print(json.dumps(_json(ran) | about, indent=1))
    _tell(ran, run_dir, quiet=options.quiet)
    return ran.exit_status


def _run(
    board: BootedBoard, run_dir: Path, argv: Sequence[str], out: Callable[[bytes], None], err: Callable[[bytes], None],
) -> Ran:
    log = LogFollower(board, run_dir / "kmsg.log")
    status: int | None = None
    died: PanthorlabError | None = None
    stopped: KeyboardInterrupt | None = None
    holes: list[str] = []
    with log:
        process = board.shell.start(argv, on_stdout=out, on_stderr=err)
        try:
            status = _wait(board, process, log)
        except PanthorlabError as error:
            died = error
        except KeyboardInterrupt as error:
            stopped = error
        finally:
            process.kill()
        if status is not None:
            holes += _drain(board, log)
        findings = log.findings()
    if status is None or holes:  # the end of the log is on the console alone
        known = Counter(finding.signature for finding in findings)
        findings += [finding for finding in log.last_words() if not known[finding.signature]]
    holes += [f"{hazard.kind}: {hazard.text}" for hazard in board.hazards()]
    return Ran(status, findings, died, tuple(dict.fromkeys(holes)), stopped)


def _wait(board: BootedBoard, process: Any, log: LogFollower) -> int:
    """COMMAND's status. Raises what the board died of, or BootError if COMMAND hangs on a kernel that has crashed."""
    look, give_up = time.monotonic() + _LOOK, None
    while not process.ended:
        time.sleep(_POLL)
        now = time.monotonic()
        if now < look:
            continue
        look = now + _LOOK
        board.check_alive()
        # what was logged since the last marker is on the console alone
        crash = next((item for item in (*log.findings(), *log.last_words()) if item.kind in CRASHES), None)
        if crash is None:
            continue
        give_up = give_up or now + GRACE * board.slowness
        if now > give_up:
            raise BootError(f"the kernel crashed, and the command hangs since then: {crash.text.splitlines()[0]}")
    status: int = process.wait(LOG_DEADLINE)
    return status


def _drain(board: BootedBoard, log: LogFollower) -> list[str]:
    """Wait until everything that was logged so far is here. What is wrong with the log, in words."""
    batch = Batch(board, log, _NOTHING, prefix="end", count=1, log_deadline=LOG_DEADLINE, on_result=None)
    try:
        batch.run()
        log.check()
    except (LabError, EvidenceError, BootError) as error:
        return [f"the end of the kernel log did not come: {error}"]
    return [] if batch.windows[0] is not None else ["the end of the kernel log did not come"]


def _resolve(command: Sequence[str], work_dir: str) -> list[str]:
    """The board's own workloads can be named without their directory."""
    return [f"{work_dir}/{command[0]}", *command[1:]] if command[0] in _PROGRAMS else list(command)


def _json(ran: Ran) -> dict[str, object]:
    return {
        "exit": ran.exit_status,
        "ran": ran.status is not None,
        "kernel_exit": ran.kernel_exit,
        "error": str(ran.died) if ran.died is not None else None,
        "findings": [finding.to_json() for finding in ran.findings],
        "holes": list(ran.holes),
    }


def _tell(ran: Ran, run_dir: Path, *, quiet: bool) -> None:
    """On stderr, so that stdout is COMMAND's alone."""
    lines = []
    if ran.died is not None:
        lines.append(f"panthorlab: {ran.died}")
        lines += [f"  hint: {ran.died.hint}"] if ran.died.hint else []
    lines += [f"panthorlab: {hole}" for hole in ran.holes]
    if ran.findings:
        shown = Counter(headline(finding.to_json()) for finding in ran.findings)
        lines.append(f"panthorlab: the kernel log has {_count(len(ran.findings), 'finding')}:")
        lines += [f"  {count} × {text}" for text, count in shown.most_common(10)]
        lines += [f"  … and {len(shown) - 10} others"] if len(shown) > 10 else []
    if lines or not quiet or ran.stopped is not None:
        lines.append(f"run: {run_dir}")
    for line in lines:
        print(line, file=sys.stderr)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Capture:
    """A callback that keeps what it gets, or echoes it at once."""

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
