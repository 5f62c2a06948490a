# SPDX-License-Identifier: GPL-2.0-or-later
"""Perform a script of `panthorlab.fuzz` on a booted board, and judge it: by the kernel log, by what the driver still
holds, and by a good job afterwards; by what the calls returned only if they had to be refused whatever came before."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from panthorlab.board.api import LATE, BootedBoard, RemoteProcess
from panthorlab.errors import BootError, EvidenceError, LabError
from panthorlab.fuzz.grammar import PROVOKED, TROUBLE
from panthorlab.fuzz.script import ScriptLine, parse, rules, write
from panthorlab.kmsg.heads import CRASHES
from panthorlab.kmsg.model import Finding
from panthorlab.run.evidence import LogFollower
from panthorlab.run.held import Holdings
from panthorlab.run.iterations import LOG_DEADLINE, Batch
from panthorlab.run.ktap import Report
from panthorlab.run.session import LAST, Session

DEADLINE: Final = 60.0
"""Seconds of one script: a job may take the driver's 5 s to be given up, and scripts wait for few."""
DYING: Final = 3.0
"""Seconds that a script has to end by itself after a crash."""
PATIENCE: Final = 15.0
"""Seconds in which a GPU that did wrong works again: a reset, and jobs given up."""
STEP: Final = 0.05
LEFT: Final = "left"
GATE: Final = "# gate "
_MISDEED: Final = "# misdeed "
_ACCEPTED: Final = "# accepted "
_LOST: Final = "# lost "


@dataclass
class Performed:
    """What came of a script. `bad`: signature and text of each thing that a right kernel would not have done; with any
    of them the boot is spoiled for other scripts."""

    bad: dict[str, str] = field(default_factory=dict)


class ScriptRunner:
    """Performs scripts on one boot, one after the other. `good_job` runs a job of a process of its own between markers,
    so that with it all is known of the kernel log before."""

    def __init__(
        self,
        board: BootedBoard,
        log: LogFollower,
        good_job: Callable[[], Report],
        holdings: Holdings,
        deadline: float = DEADLINE,
    ) -> None:
        self._board, self._log, self._job, self._deadline = board, log, good_job, deadline
        self._holdings = holdings

    def perform(self, script: tuple[ScriptLine, ...], but: frozenset[str] = frozenset()) -> Performed:
        """`but`: see `must_be_borne`. Raises LabError if the lab is at fault, EvidenceError if nothing bad
        was seen, but may have been there."""
        found, misuses, hazards = len(self._log.findings()), len(self._board.misuses()), len(self._board.hazards())
        holes = self._log.holes
        done, died, doubt = Performed(), "", None
        try:
            self._run(script, done)
        except BootError as error:
            died = str(error)
        finally:
            if not died:
                self._board.behave()
        findings = self._log.findings_so_far()[found:]
        if not died and not _crashed(findings):
            try:
                died = self._good_job(done, patient=bool(rules(script)))
            except EvidenceError as error:
                doubt = error
            findings = self._log.findings()[found:]
        if died:
            done.bad["dead"] = died
            seen = {finding.signature for finding in findings}
            findings += [word for word in self._log.last_words() if word.signature not in seen]
        expected = provoked(script) | but
        done.bad = {word.signature: word.text for word in findings if word.kind not in expected} | done.bad
        for misuse in self._board.misuses()[misuses:]:
            done.bad[f"misuse:{misuse.split(' at ')[0]}"] = misuse
        if LEFT in but:
            self._holdings.forgive()
        elif not done.bad and doubt is None and (left := self._holdings.left()):
            done.bad[LEFT] = left
        if not done.bad and (doubt := doubt or self._doubt(hazards, holes)):
            raise doubt
        return done

    def _doubt(self, hazards: int, holes: int) -> EvidenceError | None:
        """Why a script in which nothing bad was seen may have been bad all the same. `hazards`, `holes`: how many there
        were before it."""
        if spoiled := [hazard for hazard in self._board.hazards()[hazards:] if hazard.kind != LATE]:
            return EvidenceError(f"the emulated GPU: {spoiled[0].kind}: {spoiled[0].text}", hint="the model lacks that")
        if self._log.holes > holes:
            return EvidenceError("records of the kernel log were lost")
        return None

    def _run(self, script: tuple[ScriptLine, ...], done: Performed) -> None:
        """Until the script has ended; misdeeds are armed where they stand in it."""
        work, shell = self._board.work_dir, self._board.shell
        shell.put(write(script).encode(), f"{work}/fuzz-script")
        output = _Lines()
        process = shell.start(
            [f"{work}/gpu-fuzz", "--script", f"{work}/fuzz-script", "--gate", f"{work}/fuzz-gate-"],
            on_stdout=output.feed,
            on_stderr=output.feed,
        )
        try:
            status = self._follow(process, output, done)
        finally:
            process.kill()
        if status == 2:
            raise LabError(
                f"gpu-fuzz refused a script: {output.last}",
                hint="build the kernel again if an older panthorlab has built it; else this is a bug of panthorlab",
            )
        if status is not None and status != 0:
            done.bad["gpu-fuzz"] = f"gpu-fuzz ended with status {status}"

    def _follow(self, process: RemoteProcess, output: _Lines, done: Performed) -> int | None:
        seconds = self._deadline * self._board.slowness
        deadline, crash = self._board.time.now() + seconds, 0.0
        found, rule = len(self._log.findings()), ""
        while True:
            status = _ended(process)
            for line in output.take():
                if line.startswith(_MISDEED):
                    rule = line.removeprefix(_MISDEED)
                elif line.startswith(GATE):
                    self._board.inject(rule)
                    self._board.shell.put(b"", f"{self._board.work_dir}/fuzz-gate-{line.removeprefix(GATE)}")
                elif line.startswith(_ACCEPTED):
                    call = line.removeprefix(_ACCEPTED)
                    done.bad[f"accepted:{call.split()[0]}"] = f"addresses of the kernel's own were given: {call}"
                elif line.startswith(_LOST):
                    done.bad["lost"] = f"what the CPU wrote to a buffer is not there: {line.removeprefix(_LOST)}"
            if status is not None:
                return status
            now = self._board.time.now()
            crash = crash or (now if _crashed(self._log.findings_so_far()[found:]) else 0.0)
            if crash and now > crash + DYING * self._board.slowness:
                return None
            if now > deadline:
                self._board.check_alive()
                done.bad["hang"] = f"the script did not end in {seconds:.0f} s"
                return None

    def _good_job(self, done: Performed, *, patient: bool) -> str:
        """A job of another process works, `patient`: in the end. Returns what the kernel has died of, if it has."""
        deadline = self._board.time.now() + PATIENCE * self._board.slowness
        while True:
            try:
                report = self._job()
            except BootError as error:
                return str(error)
            if report.ok:
                return ""
            if not patient or self._board.time.now() > deadline:
                done.bad["no-good-job"] = f"the next process's job does not work: {report.why}"
                return ""


def provoked(script: tuple[ScriptLine, ...]) -> frozenset[str]:
    """Kinds of finding that a script brings about on a right kernel."""
    return PROVOKED | TROUBLE if rules(script) else PROVOKED


class GoodJob:
    """A job for `ScriptRunner`, between markers of its own."""

    def __init__(self, board: BootedBoard, log: LogFollower) -> None:
        self._board, self._log, self._number = board, log, itertools.count(1)

    def __call__(self) -> Report:
        """Raises what the board died of, and EvidenceError if the log of the job did not come, or not to its end."""
        batch = Batch(
            self._board,
            self._log,
            LAST,
            prefix=f"fuzz-{next(self._number)}",
            count=1,
            log_deadline=LOG_DEADLINE,
            on_result=None,
        )
        batch.run()
        report, window = batch.reports[0], batch.windows[0]
        if report is None or window is None or not window.complete:
            why = f": {window.reason}" if window is not None and window.reason else ""
            raise EvidenceError(f"the kernel log of a script is not whole{why}")
        return report


def must_be_borne(session: Session, text: str, *, but: Collection[str] = (), deadline: float = DEADLINE) -> None:
    """Perform a script as a test: it fails for whatever a right kernel would not have done. `but`: kinds of finding
    that kernels which are well make of it, too, and `left` if they keep something. `deadline`: seconds of the script.
    """
    script = parse(text)
    with session.findings_expected({*provoked(script), *but}):
        session.job("store")  # what the kernel reports from here on, the script has provoked
        runner = ScriptRunner(
            session.board, session.log, lambda: session.job("store", must_pass=False).report, session.holdings, deadline
        )
        done = runner.perform(script, frozenset(but))
    if done.bad:
        raise AssertionError("\n".join(f"{signature}: {text}" for signature, text in done.bad.items()))


class _Lines:
    """Whole lines of what a program prints; fed by another thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._rest = b""
        self.last = ""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._queue.put(line.decode("utf-8", "replace"))

    def take(self) -> list[str]:
        """All lines so far."""
        lines = [self._queue.get() for _ in range(self._queue.qsize())]
        self.last = lines[-1] if lines else self.last
        return lines


def _ended(process: RemoteProcess) -> int | None:
    """Its status, if it ends within a step."""
    try:
        return process.wait(STEP)
    except LabError:
        if process.ended:
            raise
        return None


def _crashed(findings: list[Finding]) -> bool:
    return any(finding.kind in CRASHES for finding in findings)
