# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot by a process of its own: pytest with `panthorlab.run.plugin` on the suites, which sends its events through a
pipe in JSON lines."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.board import lab
from panthorlab.board.board import Board
from panthorlab.board.power.terminal import lent_terminal
from panthorlab.errors import LabError
from panthorlab.run.poll import POLL
from panthorlab.run.record import BootEnd, OfBoot
from panthorlab.run.record.versions import event_of
from panthorlab.run.suitepytest import suite_environment, suite_pytest

# A worker that says nothing, and writes no log, for so long, or for as long as its board may take for a step, is stuck.
SILENCE: Final = 300.0
STOP_GRACE: Final = 10.0
STOPPED: Final = 30.0
"""Seconds, beyond the grace that a boot has to end, for it to be killed, and for its logs to come from its host."""


@dataclass(frozen=True)
class Worker:
    """Does the job in `log_dir`. `record` gets each of its events; `stop`: it is to end early."""

    board: Board
    log_dir: Path
    record: Callable[[OfBoot], None]
    stop: threading.Event

    def run(self) -> str:
        """To its end. Empty if it said how its boot ended, else why it did not."""
        read_end, write_end = os.pipe()
        argv = worker_argv(self.log_dir, write_end)
        with (self.log_dir / "pytest.log").open("wb") as output:
            worker = spawn.spawn(
                argv,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                death=signal.SIGTERM,  # its boards are stopped in order
                cwd=self.log_dir,
                env={
                    **suite_environment(),
                    **lent_terminal(),
                    "PYTHONHASHSEED": "0",  # what a test says of a set must be the same in each run of a seed
                    lab.VARIABLE: lab.run_token(),
                },
            )
        os.close(write_end)
        silence, grace = max(SILENCE, self.board.patience.step), STOP_GRACE + self.board.patience.switching
        steps: Sequence[tuple[int, float]] = ((signal.SIGINT, grace), (signal.SIGKILL, 5.0))
        try:
            ended, silent, steps = self._relay(read_end, worker, silence=silence, grace=grace)
        finally:
            os.close(read_end)
            status = _finish(worker, steps)
        if ended:
            return ""
        if self.stop.is_set():
            return "interrupted"
        return f"the worker said nothing for {silence:.0f} s" if silent else _why(status, self.log_dir)

    def _relay(
        self, read_end: int, worker: subprocess.Popen[bytes], *, silence: float, grace: float
    ) -> tuple[bool, bool, Sequence[tuple[int, float]]]:
        """Take the worker's events for as long as it has any. Returns whether it said how its boot ended, whether it
        fell silent, and the steps (signal, patience) by which it is to be ended now."""
        ended = False
        buffer = b""
        last = time.monotonic()
        stop_at: float | None = None
        while True:
            now = time.monotonic()
            if self.stop.is_set() and stop_at is None:
                worker.send_signal(signal.SIGINT)  # once: a second one would cut its tidying up short
                stop_at = now + grace
            if stop_at is not None and now > stop_at:
                return ended, False, ((signal.SIGKILL, 5.0),)
            if now - last > silence:
                last = now - _unwritten(self.log_dir)  # a kernel that warns for ever keeps its worker busy
            if now - last > silence:
                return ended, True, ((signal.SIGINT, grace), (signal.SIGKILL, 5.0))
            if not select.select([read_end], [], [], POLL)[0]:
                continue
            chunk = os.read(read_end, 1 << 16)
            if not chunk:
                return ended, False, ((0, grace), (signal.SIGINT, grace), (signal.SIGKILL, 5.0))
            last = now
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                event = event_of(json.loads(line))
                if not isinstance(event, OfBoot):
                    raise LabError(
                        f"a worker sent what is no event of a boot: {line[:200]!r}", hint="this is a bug of panthorlab"
                    )
                self.record(event)
                ended = ended or isinstance(event, BootEnd)


def _unwritten(log_dir: Path) -> float:
    """Seconds since a log of the boot has grown."""
    return max(0.0, time.time() - max(log.stat().st_mtime for log in log_dir.glob("*.log")))


def run_here(board: Board, log_dir: Path, record: Callable[[OfBoot], None], stop: threading.Event) -> str:
    """`Worker.run`, as a process of this machine."""
    return Worker(board, log_dir, record, stop).run()


def worker_argv(log_dir: Path, events_fd: int) -> list[str]:
    """pytest on the job in `log_dir`."""
    return suite_pytest(
        "--rootdir",
        str(log_dir),
        "--basetemp",
        str(log_dir / "tmp"),  # or it would tidy what all runs of the user have left in /tmp, for minutes
        "-q",
        "--job",
        str(log_dir / "job.json"),
        "--events-fd",
        str(events_fd),
    )


def _finish(worker: subprocess.Popen[bytes], steps: Sequence[tuple[int, float]]) -> int:
    """End the worker by (signal, patience) steps; signal 0 only waits. Its return code."""
    for signum, patience in steps:
        if signum:
            worker.send_signal(signum)
        try:
            return worker.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    raise LabError(f"worker {worker.pid} cannot be stopped", hint="it hangs in the kernel: look at `dmesg`")


def _why(status: int, log_dir: Path) -> str:
    """Why a worker that ended with `status` never said how its boot ended."""
    if status < 0:
        return f"the worker was killed by {signal.Signals(-status).name}"
    lines = (log_dir / "pytest.log").read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith(("E   ", "INTERNALERROR> "))] or lines
    return f"the worker ended with status {status}" + (f": {errors[-1].removeprefix('E').strip()}" if errors else "")
