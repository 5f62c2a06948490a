# SPDX-License-Identifier: GPL-2.0-or-later
"""One booted board under the suites: it runs programs, gathers their evidence and sends every result out at once.

Every program, also that of a plain test, runs through `iterate` on the board, so that each has its own pair of
markers in the kernel log and nothing is attributed by guessing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from panthorlab.board.api import BootedBoard
from panthorlab.board.identity import verify_identity
from panthorlab.board.registry import board_name, open_board
from panthorlab.coverage.counts import mark
from panthorlab.errors import BootError, EvidenceError, PanthorlabError
from panthorlab.kernel.model import Kernel
from panthorlab.kmsg.model import Finding
from panthorlab.outcome import Blame, Outcome
from panthorlab.run import measure
from panthorlab.run.between import Between
from panthorlab.run.evidence import LogFollower
from panthorlab.run.held import Held, Holdings
from panthorlab.run.iterations import LOG_DEADLINE, Batch
from panthorlab.run.job import Job
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.ktap import Report, info
from panthorlab.run.stopping import FIRST, hopeless, left_out
from panthorlab.run.workload import Workload, once_per_boot, share

# Iterations of one `iterate` on the board; after each batch the board is asked whether it is well.
BATCH: Final = 120
PROGRAM_TIMEOUT: Final = 30.0
RESET_TIME: Final = 10.0
"""Seconds in which a reset of the GPU is over."""
CRASHES: Final = frozenset({"oops", "panic", "hung-task"})
COMMAND_LINE: Final = "/proc/cmdline"
LAST: Final = Workload("gpu-job/store", ("gpu-job", "--mode", "store"), deadline=PROGRAM_TIMEOUT, sentinel=False)


@dataclass(frozen=True)
class Iterated:
    """What came of a workload's iterations on this boot."""

    workload: Workload
    events: Sequence[dict[str, Any]]

    def expect_clean(self) -> None:
        """Fail the test if an iteration was faulty or could not be judged; a watch workload only expects to fail."""
        import pytest

        bad = [event for event in self.events if event["outcome"] != Outcome.PASS]
        if not bad:
            return
        errors = sum(event["outcome"] == Outcome.ERROR for event in bad)
        text = (
            f"{self.workload.name}: {len(bad) - errors} of {len(self.events)} iterations failed, {errors} without "
            f"evidence; first: {bad[0]['id']}: {bad[0]['message']}"
        )
        if self.workload.role == "watch":
            pytest.xfail(text)
        if errors:
            raise EvidenceError(text)
        pytest.fail(text, pytrace=False)


@dataclass(frozen=True)
class ProgramResult:
    """One program's run outside the counted iterations."""

    report: Report
    findings: Sequence[Finding]

    @property
    def info(self) -> dict[str, str]:
        """`# info key=value` facts that it printed."""
        return info(self.report.lines)


class Session:
    """A booted board with its evidence. Use `Session.boot(job, emit)`."""

    def __init__(
        self, job: Job, kernel: Kernel, board: BootedBoard, log: LogFollower, emit: Callable[..., None]
    ) -> None:
        self.job_description, self.kernel, self.board, self.log = job, kernel, board, log
        self._emit = emit
        self._numbers = itertools.count(1)
        self._batches = itertools.count(1)
        self._expected: set[str] = set()
        self._allowed: set[str] = set()
        self._known_misuses: list[range] = []
        self._between = Between(log, self._send)
        self._once: frozenset[str] = frozenset()
        self._counts: Path | None = None
        self._suite = ""
        self._holdings = Holdings(board)
        self.died: PanthorlabError | None = None

    @classmethod
    @contextmanager
    def boot(cls, job: Job, emit: Callable[..., None]) -> Iterator[Self]:
        """Boot the job's kernel and prove its identity. A boot that fails is reported and ends the pytest run."""
        import pytest

        log_dir = Path(job.log_dir)
        live = None
        try:
            if job.coverage is not None:
                live = measure.live_counts(log_dir, Path(job.coverage))
            kernel = resolve_kernel(job.kernel, log=log_dir / "build.log")
            board = open_board(job.board).boot(
                kernel,
                log_dir=log_dir,
                overlay=Path(job.overlay) if job.overlay else None,
                params={**job.params, "seed": str(job.seed)},
                on_progress=lambda text: emit("progress", text=text),
                method=job.boot_method,
                fresh=job.fresh,
                counts=live,
            )
        except PanthorlabError as error:
            emit("boot-end", complete=False, booted=False, **_blame_of(error))
            pytest.exit(f"{board_name(job.board)} did not boot: {error}", returncode=4)
        with board:
            log = LogFollower(board, log_dir / "kmsg.log")
            session = cls(job, kernel, board, log, emit)
            session._counts = live
            try:
                with log:
                    session.verify_identity()
                    if live is not None:
                        measure.check_counted(live)
                    session._once = once_per_boot(board.shell.get(COMMAND_LINE).decode("utf-8", "replace"))
                    emit("board", name=board.name, facts=board.facts(), boot_id=board.boot_id)
                    yield session
                    session._end_log()
                session._between.send()
            except PanthorlabError as error:
                session.died = error
                session._between.send()
                session.emit_end(complete=False)
                pytest.exit(f"{board.name}: {error}", returncode=4)

    # -- what suites use ---------------------------------------------------------------------------------------

    def verify_identity(self) -> None:
        """The booted kernel and its modules are the built ones. Raises EvidenceError."""
        verify_identity(self.board.shell, self.kernel)

    def iterate(self, workload: Workload, *, at_most: int | None = None) -> Iterated:
        """Run this boot's share of the workload's iterations (`at_most` so many in all boots), sending each result as
        it is known.

        If the first of them all fail, the others are not run, and recorded so.
        """
        job = self.job_description
        total = workload.planned(job.side, override=job.iterations, expect_fix=job.expect_fix)
        total = total if at_most is None else min(total, at_most)
        if job.extra is not None and not job.extra.get(workload.name):
            return Iterated(workload, [])
        quota = share(total if job.extra is None else job.extra[workload.name], job.index, job.boots)
        done = job.done.get(workload.name, 0)
        self._emit("quota", workload=workload.name, role=workload.role, planned=quota, side_total=total)
        events: list[dict[str, Any]] = []
        why = None
        while why is None and done + len(events) < quota:
            events += self._batch(workload, min(BATCH if events else FIRST, quota - done - len(events)))
            why = hopeless(events)
        for number in range(quota - done - len(events)):
            assert why is not None  # noqa: S101 - else the loop above goes on
            events.append(left_out(workload, f"{self.job_description.boot}.{workload.name}.left-out-{number + 1}", why))
            self._emit("iteration", **events[-1])
        return Iterated(workload, events)

    def job(
        self,
        mode: str,
        *arguments: str,
        timeout: float = PROGRAM_TIMEOUT,
        must_pass: bool = True,
        retries: int = 0,
    ) -> ProgramResult:
        """Run `gpu-job --mode MODE` in a fresh process; fails the test unless all of its KTAP subtests pass.

        `retries`: it may fail so often before, and on until a reset that is under way must be over.
        """
        argv = ("gpu-job", "--mode", mode, *arguments)
        deadline = time.monotonic() + RESET_TIME * self.board.slowness
        while retries > 0:
            if (result := self.program(*argv, timeout=timeout)).report.ok:
                return result
            retries -= 1 if retries > 1 or time.monotonic() > deadline else 0
        return self.check(*argv, timeout=timeout) if must_pass else self.program(*argv, timeout=timeout)

    def check(
        self, *argv: str, timeout: float = PROGRAM_TIMEOUT, name: str = "", env: Mapping[str, str] | None = None,
    ) -> ProgramResult:
        """Run one program as `program` does; fails the test unless all of its KTAP subtests pass."""
        result = self.program(*argv, timeout=timeout, name=name, env=env)
        if not result.report.ok:
            told = [line for line in result.report.lines if not line.startswith("ok ")]
            raise AssertionError(f"{' '.join(argv)}: {result.report.why}\n" + "\n".join(told))
        return result

    def program(
        self, *argv: str, timeout: float = PROGRAM_TIMEOUT, name: str = "", env: Mapping[str, str] | None = None,
    ) -> ProgramResult:
        """Run one program of the board's work directory, or with its whole path, between markers that say `name`. What
        it leaves in the log that the running test did not provoke on purpose belongs to the boot."""
        workload = Workload(
            name or f"{argv[0]}/{argv[2] if len(argv) > 2 else 'run'}", argv, deadline=timeout, sentinel=False,
            env=tuple(f"{key}={value}" for key, value in (env or {}).items()),
        )
        expected = frozenset(self._expected)
        run = self._run_batch(workload, 1, provoked=expected)
        report, window = run.reports[0], run.windows[0]
        if report is None or window is None:
            raise EvidenceError(f"{' '.join(argv)}: its report or its log is incomplete")
        if window.gap:
            raise EvidenceError(f"{' '.join(argv)}: records of the kernel log were lost")
        self._between.send_unexpected(window, expected)
        return ProgramResult(report, window.findings)

    @contextmanager
    def findings_expected(self, kinds: Collection[str]) -> Iterator[Callable[[], list[Finding]]]:
        """Within, the test provokes findings of these kinds on purpose: they do not fail it, and say nothing against
        the kernel. The value gives all findings since then."""
        start = self.finding_count()
        self._expected |= set(kinds)
        yield lambda: self.log.findings()[start:]

    @contextmanager
    def findings_allowed(self, kinds: set[str]) -> Iterator[Callable[[], list[Finding]]]:
        """As `findings_expected`, but a good kernel would not make them: they do not fail the test, and count."""
        start = self.finding_count()
        self._allowed |= kinds
        yield lambda: self.log.findings()[start:]

    @contextmanager
    def misuses_expected(self) -> Iterator[None]:
        """Within, the driver is known to treat the emulated GPU as no real one may be treated: say where that is
        written. It does not fail the test."""
        start = len(self.board.misuses())
        try:
            yield
        finally:
            self._known_misuses.append(range(start, len(self.board.misuses())))

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
        import pytest

        if (held := self._holdings.now()) is None:
            why = "debugfs of this board does not tell what the GPU driver holds"
            if self.board.injections:  # an emulated one, whose kernels all have it
                raise EvidenceError(why)
            pytest.skip(why)
        if held.clients:
            pytest.skip(f"the GPU is open in {', '.join(held.clients)}: what its driver holds is not the tests' alone")
        return held

    def left(self) -> str:
        """What the driver holds while no program runs, besides the firmware's own, in words; empty if nothing. Says it
        once. The fixture `nothing_left` fails a test of which something is left."""
        return self._holdings.left()

    def kernel_log(self) -> str:
        """The kernel log since boot, as text."""
        return self.log.text()

    def has_config(self, *options: str) -> bool:
        """Whether the kernel was built with all of these options (`CONFIG_KASAN`), built in or as modules."""
        lines = set((self.kernel.path / "config").read_text().splitlines())
        return all(lines & {f"{option}=y", f"{option}=m"} for option in options)

    def driver_contains(self, text: bytes) -> bool:
        """Whether the kernel or one of its modules has `text`: versions of panthor differ in what they can do."""
        images = (self.kernel.path / "vmlinux", *sorted(self.kernel.modules_dir.glob("*.ko")))
        return any(text in image.read_bytes() for image in images if image.is_file())

    def gpu_param(self, name: str) -> str | None:
        """What the emulated GPU's parameter `name` was set to, by the board's file or `--param`; None if it was not."""
        params = self.board.facts().get("gpu_params")
        return params.get(name) if isinstance(params, Mapping) else None

    def note(self, text: str) -> None:
        """Tell `text` in the report: what a reader must know, and nobody is to blame for."""
        self._emit("note", text=text)

    def can_inject(self, failure: str) -> bool:
        """Whether this board can produce `failure` on purpose; real ones cannot."""
        return failure in self.board.injections

    def inject(self, rule: str) -> None:
        """Make the board's GPU do wrong on purpose what `rule` says, NAME[,KEY=VALUE…]. On the record of the run."""
        self.board.inject(rule)
        self._emit("misbehave", rule=rule)

    @contextmanager
    def misbehaving(self, *rules: str) -> Iterator[None]:
        """Within, the GPU does wrong what `rules` say; skips the test on a board that cannot."""
        import pytest

        missing = [rule for rule in rules if not self.can_inject(rule.partition(",")[0])]
        if missing:
            pytest.skip(f"this board cannot do wrong on purpose: {', '.join(missing)}")
        for rule in rules:
            self.inject(rule)
        try:
            yield
        finally:
            self.board.behave()
            self._emit("behave")

    def struck(self, misdeed: str) -> int:
        """How often the GPU has done wrong this so far: what a test asks for must happen, or it proves nothing."""
        return sum(text.partition(",")[0] == misdeed for text in self.board.struck())

    # -- what the plugin uses ----------------------------------------------------------------------------------

    def begin(self, suite: str) -> None:
        """What runs from now on is the suite's, until another one begins."""
        if self._counts is not None and suite != self._suite:
            mark(self._counts, suite)
        self._suite = suite

    def finding_count(self) -> int:
        return len(self.log.findings())

    def unexpected_since(self, start: int) -> list[str]:
        """Findings since `start` that the running test did not expect; forgets what it expected."""
        expected, self._expected, self._allowed = self._expected | self._allowed, set(), set()
        return [finding.text for finding in self.log.findings()[start:] if finding.kind not in expected]

    def misuses_since(self, start: int) -> list[str]:
        """What the driver did to the GPU since `start` that real hardware would not bear, each once."""
        known = {at for known in self._known_misuses for at in known}
        misuses = enumerate(self.board.misuses()[start:], start)
        return list(dict.fromkeys(text for at, text in misuses if at not in known))

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
        if self.died is not None:
            emit("boot-end", complete=False, booted=True, **_blame_of(self.died))
        else:
            emit("boot-end", complete=complete, booted=True, reason="", outcome=Outcome.PASS, blame=None)

    def _end_log(self) -> None:
        """Put a last job and its markers behind everything, so that what came after the last iteration is not lost."""
        if self.died is None and self._emit is not _silent:  # else nobody would hear of it
            window = self._run_batch(LAST, 1).windows[0]
            if window is None or window.gap:
                raise EvidenceError("the end of the kernel log did not come, or not whole")
            self._between.send_unexpected(window, frozenset())

    # -- how iterations are run --------------------------------------------------------------------------------

    def _send(self, event: str, **fields: Any) -> None:
        self._emit(event, **fields)

    def _batch(self, workload: Workload, count: int) -> list[dict[str, Any]]:
        return self._run_batch(workload, count, on_result=self._send_iteration).events

    def _send_iteration(self, event: dict[str, Any]) -> None:
        self._between.send()  # first: what is on record as done is not run again, so its faults must be there, too
        self._emit("iteration", **event)

    def _run_batch(
        self,
        workload: Workload,
        count: int,
        on_result: Callable[[dict[str, Any]], None] | None = None,
        provoked: frozenset[str] = frozenset(),
    ) -> Batch:
        prefix = f"{self.job_description.boot}.{next(self._batches)}"
        self._between.provoked(prefix, provoked)
        batch = Batch(
            self.board, self.log, workload, prefix=prefix, count=count, log_deadline=LOG_DEADLINE, on_result=on_result,
            once=self._once,
        )
        try:
            batch.run()
        except BootError as error:  # nothing more can be learnt on a kernel in this state
            self.died = error
            raise
        self._between.send()
        return batch


def _silent(*_args: object, **_fields: object) -> None:
    """Where events go after the boot has ended."""


def _blame_of(error: PanthorlabError) -> dict[str, Any]:
    kernel = isinstance(error, BootError)
    return {"outcome": Outcome.FAIL if kernel else Outcome.ERROR, "blame": Blame.KERNEL if kernel else Blame.LAB,
            "reason": str(error), "hint": error.hint, "final": error.final}

