# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out a run's boots: one worker process a boot, several at once, every event of theirs into the run's log.

Nothing a worker does can hurt the log: only this process writes it.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.errors import LabError
from panthorlab.files import write_whole
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.abreast import HaltedError
from panthorlab.run.fleet import Lane
from panthorlab.run.job import Job
from panthorlab.run.plan import Slot, placed, progress_of, remaining
from panthorlab.run.poll import POLL
from panthorlab.run.record import BootEnd, BootStart, Doing, Event, Moved, Note, OfBoot
from panthorlab.run.record.codec import encode
from panthorlab.run.record.log import EventLog
from panthorlab.run.work import Work
from panthorlab.run.worker import STOP_GRACE, STOPPED, run_here

DoBoot = Callable[[Board, Path, Callable[[OfBoot], None], threading.Event], str]
"""Does the job in a directory, as `worker.run_here`."""


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
        boot: DoBoot = run_here,
        stop: threading.Event | None = None,
    ) -> None:
        """`boot`: does one, here or on another host. `stop`: that of runs that are `abreast`."""
        self._log, self._run_dir, self._events, self._make_job = log, run_dir, events, make_job
        self._lanes, self._progress, self._boot_by = lanes, progress, boot
        self._lock = threading.Lock()
        self._stop = stop or threading.Event()
        self._failures: queue.Queue[BaseException] = queue.Queue()

    def run(self, slots: Sequence[Slot]) -> None:
        """Until every slot is complete or given up. An exception (Ctrl-C, the time limit) first stops all workers.
        Raises HaltedError if one beside it was stopped."""
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
                event.wait(STOP_GRACE + lane.board.patience.switching + STOPPED + 10)
            raise
        if not self._failures.empty():
            raise self._failures.get()
        if self._stop.is_set():
            raise HaltedError

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

        came_up = False

        def record(event: OfBoot) -> None:
            """Whatever comes of the boot, it is this one's."""
            nonlocal came_up
            came_up = came_up or (isinstance(event, BootEnd) and event.booted)
            event = replace(event, boot=boot, slot=slot.name, arm=slot.arm)
            (self._progress if isinstance(event, Doing) else self._record)(event)

        record(BootStart(kernel=job.kernel, board=board.name, variant=slot.variant))
        if why := self._work(board, log_dir, record):
            record(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason=why))
        return came_up and progress_of(slot, self._snapshot()).complete

    def _work(self, board: Board, log_dir: Path, record: Callable[[OfBoot], None]) -> str:
        """Run one worker to its end. Empty if it reported how its boot ended, else why it did not."""
        return self._boot_by(board, log_dir, record, self._stop)
