# SPDX-License-Identifier: GPL-2.0-or-later
"""One booted board under the suites: it runs programs, gathers their evidence and sends every result out at once.

Every program, also that of a plain test, runs through `iterate` on the board, so that each has its own pair of
markers in the kernel log and nothing is attributed by guessing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Final

from panthorlab.board.api import BootedBoard, RunDigest
from panthorlab.board.boardtime import TimeName
from panthorlab.board.identity import verify_identity
from panthorlab.errors import BootError, EvidenceError, PanthorlabError
from panthorlab.kernel.driver import Driver, driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.kmsg.model import Finding
from panthorlab.run.between import Between
from panthorlab.run.bootend import check_asked, end_by, end_well
from panthorlab.run.evidence import LogFollower
from panthorlab.run.expected import Expectations
from panthorlab.run.held import Held, Holdings
from panthorlab.run.iterations import LOG_DEADLINE, Batch
from panthorlab.run.job import Job
from panthorlab.run.meter import Meter
from panthorlab.run.quota import run_share
from panthorlab.run.ran import Iterated as Iterated
from panthorlab.run.ran import ProgramResult as ProgramResult
from panthorlab.run.record import Behave, Iteration, Misbehave, Note, OfBoot
from panthorlab.run.repeated import Repeated
from panthorlab.run.workload import Workload

PROGRAM_TIMEOUT: Final = 30.0
RESET_TIME: Final = 10.0
"""Seconds in which a reset of the GPU is over."""
CRASHES: Final = frozenset({"oops", "panic", "hung-task"})
LAST: Final = Workload("gpu-job/store", ("gpu-job", "--mode", "store"), deadline=PROGRAM_TIMEOUT, sentinel=False)
LAST_WITHOUT_JOBS: Final = replace(LAST, name="gpu-job/gpu-info", argv=("gpu-job", "--mode", "gpu-info"))


class Session:
    """A booted board with its evidence, as `booting.booted` gives it. `emit`: where events go; `meter`: what
    measures the boot, if it is measured. `once`: the kinds of finding of which this kernel tells once per boot."""

    def __init__(
        self,
        job: Job,
        kernel: Kernel,
        board: BootedBoard,
        log: LogFollower,
        emit: Callable[[OfBoot], None],
        *,
        meter: Meter | None = None,
    ) -> None:
        self.job_description, self.kernel, self.board, self.log = job, kernel, board, log
        self._emit = emit
        self._batches = itertools.count(1)
        self._expectations = Expectations(board, log)
        self._between = Between(log, self._send)
        self.once: frozenset[str] = frozenset()
        self._meter = meter
        self._suite = ""
        self.holdings = Holdings(board)
        self.died: PanthorlabError | None = None
        self.spent = ""
        """Why this boot is no good for further tests, though the board lives."""
        self._digest: RunDigest | None = None
        self.repeated = Repeated()

    @cached_property
    def driver(self) -> Driver:
        """What drives the GPU in this kernel."""
        return driver_of(self.kernel)

    # -- what suites use ---------------------------------------------------------------------------------------

    def verify_identity(self) -> None:
        """The booted kernel and its modules are the built ones. Raises EvidenceError."""
        verify_identity(self.board.shell, self.kernel)

    def iterate(self, workload: Workload, *, at_most: int | None = None) -> Iterated:
        """Run this boot's share of the workload's iterations (`at_most` so many in all boots), sending each result as
        it is known.

        If the first of them all fail, the others are not run, and recorded so.
        """
        events = run_share(self.job_description, workload, self._batch, self._emit, at_most=at_most)
        return Iterated(workload, events)

    def job(
        self, mode: str, *arguments: str, timeout: float = PROGRAM_TIMEOUT, must_pass: bool = True, retries: int = 0
    ) -> ProgramResult:
        """Run `gpu-job --mode MODE` in a fresh process; fails the test unless all of its KTAP subtests pass.

        `retries`: it may fail so often before, and on until a reset that is under way must be over.
        """
        argv = ("gpu-job", "--mode", mode, *arguments)
        deadline = self.board.time.now() + RESET_TIME * self.board.slowness
        while retries > 0:
            if (result := self.program(*argv, timeout=timeout)).report.ok:
                return result
            retries -= 1 if retries > 1 or self.board.time.now() > deadline else 0
        return self.check(*argv, timeout=timeout) if must_pass else self.program(*argv, timeout=timeout)

    def gpu_info(self) -> dict[str, str]:
        """What the driver says of the GPU, and of its interface if it can."""
        return self.job("info" if "csif" in self.driver.features else "gpu-info").info

    def check(
        self, *argv: str, timeout: float = PROGRAM_TIMEOUT, name: str = "", env: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Run one program as `program` does; fails the test unless all of its KTAP subtests pass."""
        result = self.program(*argv, timeout=timeout, name=name, env=env)
        if not result.report.ok:
            self.repeated.fails()
            lines = [line for line in result.report.lines if not line.startswith("ok ")]
            raise AssertionError(f"{' '.join(argv)}: {result.report.why}\n" + "\n".join(lines))
        return result

    def program(
        self, *argv: str, timeout: float = PROGRAM_TIMEOUT, name: str = "", env: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Run one program of the board's work directory, or with its whole path, between markers that say `name`. What
        it leaves in the log that the running test did not provoke on purpose belongs to the boot."""
        workload = Workload(
            name or f"{argv[0]}/{argv[2] if len(argv) > 2 else 'run'}",
            argv,
            deadline=timeout,
            sentinel=False,
            env=tuple(f"{key}={value}" for key, value in (env or {}).items()),
        )
        expected = self._expectations.provoked
        run = self._run_batch(workload, 1, provoked=expected)
        report, window = run.reports[0], run.windows[0]
        if report is None or window is None:
            raise EvidenceError(f"{' '.join(argv)}: its report or its log is incomplete")
        if window.gap:
            raise EvidenceError(f"{' '.join(argv)}: records of the kernel log were lost")
        if self._between.send_unexpected(window, expected):
            self.repeated.fails()
        self._end_after(str(window.id))
        return ProgramResult(report, window.findings)

    def findings_expected(self, kinds: Collection[str]) -> AbstractContextManager[Callable[[], list[Finding]]]:
        """Within, the test provokes findings of these kinds on purpose: they do not fail it, and say nothing against
        the kernel. The value gives all findings since then."""
        return self._expectations.findings_expected(kinds)

    def findings_allowed(self, kinds: Collection[str]) -> AbstractContextManager[Callable[[], list[Finding]]]:
        """As `findings_expected`, but a good kernel would not make them: they do not fail the test, and count."""
        return self._expectations.findings_allowed(kinds)

    def misuses_expected(self) -> AbstractContextManager[None]:
        """Within, the driver is known to treat the emulated GPU as no real one may be treated: say where that is
        written. It does not fail the test."""
        return self._expectations.misuses_expected()

    def findings(self) -> list[Finding]:
        """All findings since boot."""
        return self.log.findings()

    @property
    def crashed(self) -> bool:
        """Whether the kernel has crashed under this boot, though it may still run."""
        return self.died is not None or any(finding.kind in CRASHES for finding in self.log.findings())

    def held(self) -> Held:
        """What the driver holds for its clients now; skips the test where the kernel does not tell, or would tell what
        it holds for others."""
        return self.holdings.required()

    def left(self) -> str:
        """What the driver holds while no program runs, besides the firmware's own, in words; empty if nothing. Says it
        once. A test of which something is left fails."""
        return self.holdings.left()

    def kernel_log(self) -> str:
        """The kernel log since boot, as text."""
        return self.log.text()

    def has_config(self, *options: str) -> bool:
        """Whether the kernel was built with all of these options (`CONFIG_KASAN`), built in or as modules."""
        return self.kernel.has_config(*options)

    @property
    def exact_time(self) -> bool:
        """Whether no busy host can make anything late, and idle time passes at once."""
        return self.board.facts().get("time") == TimeName.EXACT

    def driver_contains(self, text: bytes) -> bool:
        """Whether the kernel or one of its modules has `text`: versions of panthor differ in what they can do."""
        return self.kernel.contains(text)

    def gpu_param(self, name: str) -> str | None:
        """What the emulated GPU's parameter `name` was set to, by the board's file or `--param`; None if it was not."""
        params = self.board.facts().get("gpu_params")
        return params.get(name) if isinstance(params, Mapping) else None

    def note(self, text: str) -> None:
        """Tell `text` in the report: what a reader must know, and nobody is to blame for."""
        self._emit(Note(text=text))

    def can_inject(self, failure: str) -> bool:
        """Whether this board can produce `failure` on purpose; real ones cannot."""
        return failure in self.board.injections

    def inject(self, rule: str) -> None:
        """Make the board's GPU do wrong on purpose what `rule` says, NAME[,KEY=VALUE…]. On the record of the run."""
        self.board.inject(rule)
        self._emit(Misbehave(rule=rule))

    @contextmanager
    def misbehaving(self, *rules: str) -> Iterator[None]:
        """Within, the GPU does wrong what `rules` say; skips the test on a board that can do nothing wrong on purpose.
        Raises UsageError for a rule that is none, which no skip must hide, and leaves none armed."""
        import pytest

        if not self.board.injections:
            pytest.skip(f"this board cannot do wrong on purpose: {', '.join(rules)}")
        try:
            for rule in rules:
                self.inject(rule)
            yield
        except BootError as error:
            self.died = self.died or error
            raise
        finally:
            if self.died is None:  # else nobody is left to behave, and to say so would blame the lab
                self.board.behave()
            self._emit(Behave())

    def struck(self, misdeed: str) -> int:
        """How often the GPU has done wrong this so far: what a test asks for must happen, or it proves nothing."""
        return sum(text.partition(",")[0] == misdeed for text in self.board.struck())

    # -- what the plugin uses ----------------------------------------------------------------------------------

    def begin(self, suite: str) -> None:
        """What runs from now on is the suite's, until another one begins."""
        if self._meter is not None and suite != self._suite and self.died is None:
            self._meter.begin(self.board.shell, suite)
        self._suite, self.repeated = suite, Repeated()

    def end_measuring(self) -> None:
        """What has run so far is all of this boot."""
        if self._meter is not None and self.died is None:
            self._meter.end(self.board.shell)

    def finding_count(self) -> int:
        return len(self.log.findings())

    def unexpected_since(self, start: int) -> list[str]:
        """Findings since `start` that the running test did not expect; forgets what it expected."""
        return self._expectations.unexpected_since(start)

    def misuses_since(self, start: int) -> list[str]:
        """What the driver did to the GPU since `start` that real hardware would not bear, each once."""
        return self._expectations.misuses_since(start)

    def note_death(self) -> None:
        """Find out whether the board is still there; `died` says what it died of."""
        try:
            self.board.check_alive()
        except PanthorlabError as error:
            self.died = self.died or error

    def emit_end(self, *, complete: bool) -> None:
        """Report how this boot ended, once."""
        if self._emit is _silent:
            return
        if not complete:  # interrupted, its log is still open
            self.log.close()
            self._between.send()
        emit, self._emit = self._emit, _silent
        well = end_well(self._digest, complete=complete, spent=self.spent)
        emit(well if self.died is None else end_by(self.died, booted=True))

    def send_strays(self) -> None:
        """Send out what the kernel has said outside iterations, and where its log has gaps."""
        self._between.send()

    def end_log(self) -> None:
        """Put a last job and its markers behind everything, so that what came after the last iteration is not lost."""
        if self.died is None and self._emit is not _silent:  # else nobody would hear of it
            last = LAST if "groups" in self.driver.features else LAST_WITHOUT_JOBS
            window = self._run_batch(last, 1).windows[0]
            if window is None or window.gap:
                raise EvidenceError("the end of the kernel log did not come, or not whole")
            self._between.send_unexpected(window, frozenset())
            self._digest = self.board.digest()
            check_asked(self.job_description.params, self._digest)

    # -- how iterations are run --------------------------------------------------------------------------------

    def _send(self, event: OfBoot) -> None:
        self._emit(event)

    def _batch(self, workload: Workload, count: int) -> list[Iteration]:
        return self._run_batch(workload, count, on_result=self._send_iteration).events

    def _send_iteration(self, iteration: Iteration) -> None:
        self._between.send()  # first: what is on record as done is not run again, so its faults must be there, too
        self._emit(iteration)
        self._end_after(iteration.id)

    def _end_after(self, ran: str) -> None:
        if ran == self.job_description.until:
            import pytest

            self.emit_end(complete=True)
            pytest.exit(f"{ran} was the last to run", returncode=0)

    def _run_batch(
        self,
        workload: Workload,
        count: int,
        on_result: Callable[[Iteration], None] | None = None,
        provoked: frozenset[str] = frozenset(),
    ) -> Batch:
        prefix = f"{self.job_description.boot}.{next(self._batches)}"
        self.repeated.begins(f"{prefix}-1")
        self._between.provoked(prefix, provoked)
        batch = Batch(
            self.board, self.log, workload, prefix=prefix, count=count, log_deadline=LOG_DEADLINE, on_result=on_result,
            once=self.once,
        )  # fmt: skip
        try:
            batch.run()
        except BootError as error:  # nothing more can be learnt on a kernel in this state
            self.died = error
            self.repeated.fails()
            raise
        self._between.send()
        return batch


def _silent(_event: OfBoot) -> None:
    """Where events go after the boot has ended."""
