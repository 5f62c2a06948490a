# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one batch of a workload's iterations on the board and judge each as soon as its evidence is complete."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from panthorlab.board.api import LATE, BootedBoard, Hazard
from panthorlab.errors import BootError, LabError, PanthorlabError
from panthorlab.kmsg.heads import CRASHES
from panthorlab.kmsg.markers import Window
from panthorlab.kmsg.objects import parse_objects, with_owner
from panthorlab.outcome import Blame
from panthorlab.run.evidence import LogFollower
from panthorlab.run.judge import Evidence, judge
from panthorlab.run.ktap import Begun, Report, parse_iterations
from panthorlab.run.record import Iteration
from panthorlab.run.workload import Workload

# What `iterate` itself may take beside the program: the sentinel's 15 s, killing and reaping.
OVERHEAD: Final = 25.0
# The log of an iteration arrives on another channel than its report; on an idle board they are within milliseconds.
LOG_DEADLINE: Final = 20.0
# Seconds to wait for an iteration's log when the board is dead.
IMPATIENCE: Final = 2.0
# Seconds that a program gets to go on after the kernel has crashed under it.
GRACE: Final = 8.0


@dataclass(frozen=True)
class _Seen:
    """One iteration as its report came in, with the times, of the board's clock, of its begin and end lines."""

    id: str
    begun: float
    ended: float
    report: Report | None


class Batch:
    """`count` iterations of a workload by one `iterate` process on the board.

    After `run()`: `events` (one per iteration that began), `reports` and `windows` in the same order.
    """

    def __init__(
        self,
        board: BootedBoard,
        log: LogFollower,
        workload: Workload,
        *,
        prefix: str,
        count: int,
        log_deadline: float,
        on_result: Callable[[Iteration], None] | None,
        once: frozenset[str] = frozenset(),
    ) -> None:
        self._board, self._log, self._workload = board, log, workload
        self._prefix, self._count, self._log_deadline = prefix, count, log_deadline * board.slowness
        self._deadline = workload.deadline * board.slowness
        self._silence = (workload.deadline + OVERHEAD) * board.slowness
        self._once = once
        self._on_result = on_result or (lambda _event: None)
        self._lines: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        self._rest = b""
        self._last_line = ""
        self._last_begin: float | None = None
        self.events: list[Iteration] = []
        self.reports: list[Report | None] = []
        self.windows: list[Window | None] = []

    def run(self) -> None:
        """To the end of the batch. Raises what the board died of, after the iteration it died in was reported."""
        work = self._workload
        argv = [
            f"{self._board.work_dir}/iterate",
            "--name",
            work.name,
            "--prefix",
            self._prefix,
            "--first",
            "1",
            "--count",
            str(self._count),
            "--timeout-ms",
            str(round(self._deadline * 1000)),
            *(["--expect-signal", str(int(work.expect_signal))] if work.expect_signal else []),
            *([] if work.sentinel else ["--no-sentinel"]),
            "--",
            str(PurePosixPath(self._board.work_dir, work.argv[0])),
            *work.argv[1:],
        ]
        env = dict(pair.split("=", 1) for pair in work.env)
        process = self._process = self._board.shell.start(argv, on_stdout=self._feed, on_stderr=self._feed, env=env)
        previous: _Seen | None = None
        error: PanthorlabError | None = None
        try:
            for seen in self._seen():
                if previous is not None:
                    # With the log of this one, all is known of what came between the two, and of the one before.
                    heard = seen.report is not None and self._log.wait_window(seen.id, self._log_deadline) is not None
                    self._judge(previous, until=seen.ended, died=None, heard=heard)
                previous = seen
            if process.wait(self._silence) not in (0, 1):
                raise self._ended()
        except PanthorlabError as died:
            error = died
        finally:
            process.kill()
        if previous is not None:
            self._judge(previous, until=self._board.time.now(), died=error if previous.report is None else None)
        if error is not None:
            raise error
        self._log.check()

    def _feed(self, chunk: bytes) -> None:
        now = self._board.time.now()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._last_line = line.decode("utf-8", "replace")
            self._lines.put((now, self._last_line))

    def _seen(self) -> Iterator[_Seen]:
        """Iterations in order; the last one without report if the board fell silent or died in it."""
        stamp = 0.0
        finished = 0

        def lines() -> Iterator[str]:
            nonlocal stamp
            while finished < self._count:
                stamp, line = self._next_line()
                yield line

        begun: tuple[str, float] | None = None
        try:
            for item in parse_iterations(lines()):
                if isinstance(item, Begun):
                    begun = (item.id, stamp)
                else:
                    assert begun is not None  # noqa: S101 - the parser gives Begun first
                    finished += 1
                    yield _Seen(item.id, begun[1], stamp, item)
                    begun = None
        except PanthorlabError:
            if begun is not None:
                yield _Seen(begun[0], begun[1], self._board.time.now(), None)
            raise

    def _next_line(self) -> tuple[float, str]:
        clock = self._board.time
        start = clock.now()
        while clock.now() < start + self._silence:
            if (line := clock.take(self._lines, 1.0)) is not None:
                return line
            self._board.check_alive()
            if self._process.ended and self._lines.empty():
                raise self._ended()
            if self._crashed_long_ago(start):
                raise self._broken_off(f"{self._workload.name} hangs")
        silence = f"no output of {self._workload.name} for {self._silence:.0f} s"
        raise self._broken_off(f"{silence}, though the board answers")

    def _crashed_long_ago(self, since: float) -> bool:
        """Whether the kernel has crashed, and nothing has come from the program since then, or for `GRACE` seconds: a
        program that holds locks, or is on its way out, hangs for ever then, and cannot be killed."""
        if self._board.time.now() - since < GRACE * self._board.slowness:
            return False
        return any(found.kind in CRASHES for found in (*self._log.findings(), *self._log.last_words()))

    def _ended(self) -> PanthorlabError:
        text = self._rest.decode("utf-8", "replace") or self._last_line
        return self._broken_off(f"iterate on the board ended with status {self._process.wait(self._silence)}: {text}")

    def _broken_off(self, what: str) -> PanthorlabError:
        """The kernel's fault if it crashed, for that leaves locks held for ever and programs that cannot be killed."""
        clock = self._board.time
        deadline = clock.now() + IMPATIENCE * self._board.slowness  # the log may be a little behind
        while True:
            found = (*self._log.findings(), *self._log.last_words())
            crash = next((item for item in found if item.kind in CRASHES), None)
            if crash is not None:
                return BootError(f"{what}, after: {crash.text.splitlines()[0]}")
            if clock.now() > deadline:
                return LabError(what)
            clock.sleep(0.1)

    def _judge(self, seen: _Seen, *, until: float, died: PanthorlabError | None, heard: bool = False) -> None:
        """`heard`: its log is there, or will never be."""
        patience = IMPATIENCE if died else self._log_deadline
        window = self._log.window(seen.id) if heard else self._log.wait_window(seen.id, patience)
        objects = parse_objects(seen.report.lines) if seen.report else []
        # Reports arrive a little late: a hazard just before a begin line may still be this iteration's.
        begun = self._last_begin if self._last_begin is not None else seen.begun - 1.0
        hazards = [hazard for hazard in self._board.hazards() if begun <= hazard.time <= until]
        findings = list(window.findings) if window else []
        if died is not None:
            known = {finding.signature for finding in findings}
            findings += [finding for finding in self._log.last_words() if finding.signature not in known]
        evidence = Evidence(
            id=seen.id,
            report=seen.report,
            window=window,
            boot_id=self._board.boot_id,
            once=self._once,
            hazards=_words(hazard for hazard in hazards if hazard.kind != LATE),
            late=_words(hazard for hazard in hazards if hazard.kind == LATE),
            findings=[with_owner(finding, objects) for finding in findings],
            died=(str(died).splitlines()[0], Blame.KERNEL if isinstance(died, BootError) else Blame.LAB)
            if died
            else None,
        )
        event = judge(self._workload, evidence)
        self.events.append(event)
        self.reports.append(seen.report)
        self.windows.append(window)
        self._last_begin = seen.begun
        self._on_result(event)


def _words(hazards: Iterable[Hazard]) -> list[str]:
    return list(dict.fromkeys(f"{hazard.kind}: {hazard.text}" for hazard in hazards))
