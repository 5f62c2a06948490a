# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out a run's boots: one worker process a boot, several at once, every event of theirs into the run's log.

A worker is pytest with `panthorlab.run.plugin` on the suites; it talks through a pipe in JSON lines. Nothing a worker
does can hurt the log: only this process writes it.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.board import lab
from panthorlab.board.board import Board
from panthorlab.board.power.terminal import lent_terminal
from panthorlab.errors import LabError
from panthorlab.files import write_whole
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.fleet import Lane
from panthorlab.run.job import Job
from panthorlab.run.plan import Slot, placed, progress_of, remaining
from panthorlab.run.record import BootEnd, BootStart, Doing, Event, Moved, Note, OfBoot
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog
from panthorlab.run.record.versions import event_of
from panthorlab.run.work import Work

# A worker that says nothing for so long, or for as long as its board may take for a step, is stuck.
SILENCE: Final = 300.0
STOP_GRACE: Final = 10.0
POLL: Final = 0.2


class Controller:
    """Runs the remaining slots of a plan, on each lane's board one after the other."""

    def __init__(
        self,
        log: EventLog,
        run_dir: Path,
        events: list[Event],
        make_job: Callable[[Slot], Job],
        *,
        lanes: Sequence[Lane],
        progress: Callable[[Event], None],
    ) -> None:
        self._log, self._run_dir, self._events, self._make_job = log, run_dir, events, make_job
        self._lanes, self._progress = lanes, progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failures: queue.Queue[BaseException] = queue.Queue()

    def run(self, slots: Sequence[Slot]) -> None:
        """Until every slot is complete or given up. An exception (Ctrl-C, the time limit) first stops all workers."""
        open_slots = remaining(placed(slots, self._events), self._events)
        work = Work(open_slots, [lane.board.key for lane in self._lanes], self._stop)
        # Not Thread.join: a signal in it makes Python 3.11 believe that the thread has ended.
        ended = [threading.Event() for _ in self._lanes]
        for number, (lane, event) in enumerate(zip(self._lanes, ended, strict=True)):
            lane_thread = threading.Thread(target=self._run_lane, args=(lane, work, event), daemon=True)
            lane_thread.name = f"board-{number}"
            lane_thread.start()
        try:
            for event in ended:
                while not event.wait(POLL):
                    pass
        except BaseException:
            self._stop.set()
            for lane, event in zip(self._lanes, ended, strict=True):
                event.wait(STOP_GRACE + lane.board.patience.switching + 10)
            raise
        if not self._failures.empty():
            raise self._failures.get()

    def _run_lane(self, lane: Lane, work: Work, ended: threading.Event) -> None:
        try:
            self._lane(lane, work)
        except BaseException as error:
            self._failures.put(error)
            self._stop.set()
        finally:
            ended.set()

    def _lane(self, lane: Lane, work: Work) -> None:
        """Work off a board's slots. A board that dies leaves them to the others; if it is the last, that is an error,
        or, if only some slots are beyond it, it goes on with those that are not."""
        slot = work.take(lane.board.key)
        if slot is None:
            return
        try:
            with lane.board.leased(self._run_dir, wait=lane.wait, on_note=self._note, stop=self._stop) as check:
                warm = False
                while slot is not None:
                    while not self._stop.is_set() and remaining([slot], self._snapshot()):
                        check()
                        warm = self._boot(lane.board, slot, warm=warm)
                    dead = progress_of(slot, self._snapshot()).lab_gave_up and not self._stop.is_set()
                    if dead and self._leave(work, lane, slot, f"the lab failed {slot.name} on it again and again"):
                        return
                    work.finish(slot)
                    slot = work.take(lane.board.key)
        except LabError as error:
            if self._stop.is_set() or not self._leave(work, lane, slot, str(error)):
                raise

    def _leave(self, work: Work, lane: Lane, slot: Slot | None, why: str) -> bool:
        """Give up a board, if there is another one."""

        def moved(new: Slot) -> None:
            self._record(Moved(slot=new.name, arm=new.arm, board=new.board))

        if not work.leave(lane.board.key, slot, moved):
            return False
        self._note(f"board {lane.board.name} is given up, others go on without it: {why}")
        return True

    def _note(self, text: str) -> None:
        self._record(Note(text=text))

    def _snapshot(self) -> list[Event]:
        with self._lock:
            return list(self._events)

    def _record(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Note) and event.text in {old.text for old in self._events if isinstance(old, Note)}:
                return  # each boot reports what does not run on it
            self._events.append(self._log.append(event))
        self._progress(event)

    def _boot(self, board: Board, slot: Slot, *, warm: bool) -> bool:
        """One attempt at a slot, recorded whatever comes of it. `warm`: the board was left well by this lane's boot
        before. Whether it is so now."""
        done = progress_of(slot, self._snapshot())
        boot = f"{slot.name}.{done.attempts + 1}"
        log_dir = self._run_dir / "boots" / boot
        log_dir.mkdir(parents=True, exist_ok=True)
        job = self._make_job(slot)
        job = replace(
            job,
            boot=boot,
            log_dir=str(log_dir),
            done=done.done,
            done_tests=tuple(sorted(done.tests)),
            fresh=job.fresh or not warm or done.attempts > 0,
        )
        write_whole(log_dir / "job.json", json.dumps(encode(job), indent=1))

        def record(event: OfBoot) -> None:
            """Whatever comes of the boot, it is this one's."""
            event = replace(event, boot=boot, slot=slot.name, arm=slot.arm)
            (self._progress if isinstance(event, Doing) else self._record)(event)

        record(BootStart(kernel=job.kernel, board=board.name, variant=slot.variant))
        if why := self._work(board, log_dir, record):
            record(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason=why))
        return progress_of(slot, self._snapshot()).complete

    def _work(self, board: Board, log_dir: Path, record: Callable[[OfBoot], None]) -> str:
        """Run one worker to its end. Empty if it said how its boot ended, else why it did not."""
        read_end, write_end = os.pipe()
        argv = worker_argv(log_dir, write_end)
        with (log_dir / "pytest.log").open("wb") as output:
            worker = spawn.spawn(
                argv,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                death=signal.SIGTERM,  # its boards are stopped in order
                cwd=log_dir,
                # other plugins are not for suites, and importing some of them takes longer than a boot
                env={
                    **os.environ,
                    **lent_terminal(),
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    lab.VARIABLE: lab.run_token(),
                },
            )
        os.close(write_end)
        silence, grace = max(SILENCE, board.patience.step), STOP_GRACE + board.patience.switching
        steps: Sequence[tuple[int, float]] = ((signal.SIGINT, grace), (signal.SIGKILL, 5.0))
        try:
            ended, silent, steps = self._relay(read_end, worker, record, silence=silence, grace=grace)
        finally:
            os.close(read_end)
            status = _finish(worker, steps)
        if ended:
            return ""
        if self._stop.is_set():
            return "interrupted"
        return f"the worker said nothing for {silence:.0f} s" if silent else _why(status, log_dir)

    def _relay(
        self,
        read_end: int,
        worker: subprocess.Popen[bytes],
        record: Callable[[OfBoot], None],
        *,
        silence: float,
        grace: float,
    ) -> tuple[bool, bool, Sequence[tuple[int, float]]]:
        """Take the worker's events for as long as it has any. Returns whether it said how its boot ended, whether it
        fell silent, and the steps (signal, patience) by which it is to be ended now."""
        ended = False
        buffer = b""
        last = time.monotonic()
        stop_at: float | None = None
        while True:
            now = time.monotonic()
            if self._stop.is_set() and stop_at is None:
                worker.send_signal(signal.SIGINT)  # once: a second one would cut its tidying up short
                stop_at = now + grace
            if stop_at is not None and now > stop_at:
                return ended, False, ((signal.SIGKILL, 5.0),)
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
                record(event)
                ended = ended or isinstance(event, BootEnd)


def worker_argv(log_dir: Path, events_fd: int) -> list[str]:
    """pytest on the job in `log_dir`, with nothing of the directories that it, its suites or its user are in."""
    return [
        sys.executable,
        "-P",  # no module of the directory it runs in
        "-m",
        "pytest",
        "-p",
        "panthorlab.run.plugin",
        "-c",
        os.devnull,
        "--rootdir",
        str(log_dir),
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(log_dir / "tmp"),  # or it would tidy what all runs of the user have left in /tmp, for minutes
        "--import-mode=importlib",
        "--noconftest",  # the plugin takes those beside the suites; those above them nobody has asked for
        "-q",
        "--job",
        str(log_dir / "job.json"),
        "--events-fd",
        str(events_fd),
    ]


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
