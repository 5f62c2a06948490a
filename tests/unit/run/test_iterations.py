# SPDX-License-Identifier: GPL-2.0-or-later
"""A batch against a shell written here: what counts when the board is not the one that it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.board.api import BootedBoard
from panthorlab.board.boardtime import HOST, HostTime
from panthorlab.board.gpu_events import GpuEvents
from panthorlab.errors import BootError, EvidenceError, LabError, PanthorlabError
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.evidence import LogFollower
from panthorlab.run.iterations import Batch
from panthorlab.run.job import Job
from panthorlab.run.record import Iteration, LogGap, OfBoot, StrayEvent
from panthorlab.run.session import Session
from panthorlab.run.workload import Workload, once_per_boot

WORK = Workload("heap-exit/exit", ("heap-exit",))
FIRST, SECOND = "01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"
Sink = Callable[[bytes], None]
Run = Callable[[Sequence[str]], list[Iteration]]


class Process:
    def __init__(self, *, ended: bool, status: int = 0) -> None:
        self.ended, self.status = ended, status

    def wait(self, _timeout: float) -> int:
        return self.status

    def kill(self) -> None:
        pass


class FakeBoard:
    """A board, and the shell on it, whose `iterate` runs on one boot after another."""

    work_dir = "/w"
    boot_id = FIRST
    log_start = 0
    slowness = 1.0
    time: HostTime = HOST
    said: tuple[str, ...] = ()  # by the kernel in each iteration

    def __init__(self, boots: Sequence[str]) -> None:
        self.boots, self.shell = boots, self
        self.follower = Process(ended=False)
        self._log: Sink | None = None
        self._seq = iter(range(100))

    def start(
        self, argv: Sequence[str], *, on_stdout: Sink, on_stderr: Sink, env: Mapping[str, str] | None = None
    ) -> Process:
        if argv[0].endswith("kmsg-follow"):
            self._log = on_stdout
            return self.follower
        for number, boot in enumerate(self.boots, start=1):
            self._iteration(f"{argv[argv.index('--prefix') + 1]}-{number}", boot, on_stdout)
        return Process(ended=True)

    def _iteration(self, name: str, boot: str, say: Sink) -> None:
        assert self._log is not None
        begin = f"begin id={name} workload={WORK.name} boot={boot}"
        for text in (f"14,{{}},1,-;panthorlab: {begin}", *self.said, f"14,{{}},3,-;panthorlab: end id={name}"):
            self._log((text.format(next(self._seq)) + "\n").encode())
        result = f"ok 1 {WORK.name} # id={name} status=0 signal=0 us=9 sentinel=ok"
        say(f"# panthorlab {begin}\n    ok 1 job\n{result}\n# panthorlab end id={name}\n".encode())

    def get(self, _path: str) -> bytes:
        return self.boots[-1].encode() + b"\n"

    def hazards(self) -> list[Any]:
        return []

    def check_alive(self) -> None:
        pass

    def digest(self) -> None:
        """Not in exact time."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a batch of one iteration on each of these boots; its events, as the controller got them."""

    def batch(boots: Sequence[str]) -> list[Iteration]:
        board = cast(BootedBoard, FakeBoard(boots))
        events: list[Iteration] = []
        with LogFollower(board, tmp_path / "kmsg.log") as log:
            whole = Batch(board, log, WORK, prefix="b", count=len(boots), log_deadline=60, on_result=events.append)
            if boots[-1] == FIRST:
                whole.run()
            else:
                with pytest.raises(EvidenceError, match="has rebooted"):
                    whole.run()
        return events

    return batch


def test_iterations_of_the_boot_that_was_proved_count(run: Run) -> None:
    assert [event.outcome for event in run([FIRST, FIRST])] == [Outcome.PASS, Outcome.PASS]


def test_nothing_counts_after_a_silent_reboot(run: Run) -> None:
    events = run([FIRST, FIRST, SECOND, SECOND])
    assert [event.outcome for event in events] == [Outcome.PASS, Outcome.PASS, Outcome.ERROR, Outcome.ERROR]
    assert events[2].blame is Blame.LAB
    assert f"another boot: {SECOND}" in events[2].message


class Mute(FakeBoard):
    """Its log tells nothing of its first iterations."""

    silent = ("b-1", "b-2")

    def _iteration(self, name: str, boot: str, say: Sink) -> None:
        heard, self._log = self._log, (lambda _line: None) if name in self.silent else self._log
        super()._iteration(name, boot, say)
        self._log = heard


def test_a_log_that_was_not_heard_of_is_not_waited_for_at_length_again(tmp_path: Path) -> None:
    board = cast(BootedBoard, Mute([FIRST] * 4))
    events = []
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        assert log.wait_window("b-0", 0.01) is None
        for prefix in "bc":  # the second batch is heard of from its first iteration on
            batch = Batch(board, log, WORK, prefix=prefix, count=4, log_deadline=1000, on_result=None)
            batch.run()
            events += batch.events
    assert [event.outcome for event in events] == [Outcome.ERROR] * 2 + [Outcome.PASS] * 6


class Refusing(FakeBoard):
    """Its `iterate` ends after the first iteration, though more were asked for. `died`: what the console says then."""

    slowness = 0.1

    def __init__(self, died: bytes) -> None:
        super().__init__([FIRST])
        self.died = died

    def start(
        self, argv: Sequence[str], *, on_stdout: Sink, on_stderr: Sink, env: Mapping[str, str] | None = None
    ) -> Process:
        process = super().start(argv, on_stdout=on_stdout, on_stderr=on_stderr, env=env)
        if process is not self.follower:
            on_stderr(b"iterate: /dev/kmsg: Operation not permitted\n")
            process.status = 2
        return process

    def last_words(self) -> bytes:
        return self.died


@pytest.mark.parametrize(
    ("died", "error", "after"),
    [
        (b"", LabError, "$"),
        (
            b"[    9.1] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008\n",
            BootError,
            ", after: Unable to handle kernel NULL pointer",
        ),
    ],
)
def test_a_program_that_ends_too_early_is_not_waited_for(
    tmp_path: Path, died: bytes, error: type[PanthorlabError], after: str
) -> None:
    board = cast(BootedBoard, Refusing(died))
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        batch = Batch(board, log, WORK, prefix="b", count=2, log_deadline=1000, on_result=None)
        with pytest.raises(error, match=f"ended with status 2: iterate: /dev/kmsg: Operation not permitted{after}"):
            batch.run()
    assert [event.outcome for event in batch.events] == [Outcome.PASS], "what was done before counts"


def test_a_log_whose_follower_ended_is_the_labs_fault(tmp_path: Path) -> None:
    board = FakeBoard([FIRST])
    board.follower = Process(ended=True, status=-9)
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        batch = Batch(cast(BootedBoard, board), log, WORK, prefix="b", count=1, log_deadline=1000, on_result=None)
        with pytest.raises(LabError, match="kmsg-follow on the board ended with status -9"):
            batch.run()
    assert [event.outcome for event in batch.events] == [Outcome.PASS]


@pytest.mark.parametrize(("kind", "outcome"), [("late", Outcome.ERROR), ("mmu-fault", Outcome.FAIL)])
def test_time_outs_are_the_labs_fault_when_the_gpu_was_kept_waiting(
    tmp_path: Path, kind: str, outcome: Outcome
) -> None:
    class Overloaded(FakeBoard):
        said = ("3,{},2,-;panthor mali-gpu.1.auto: [drm] *ERROR* CSG slot 0 progress timeout",)

        def hazards(self) -> list[Any]:
            with (tmp_path / "events").open("w") as file:
                json.dump({"time": time.monotonic() - 0.1, "kind": kind, "text": "the host kept it for 130 ms"}, file)
                file.write("\n")
            return list(GpuEvents(tmp_path / "events").hazards())

    board = cast(BootedBoard, Overloaded([FIRST]))
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        batch = Batch(board, log, WORK, prefix="b", count=1, log_deadline=1000, on_result=None)
        batch.run()
    assert [event.outcome for event in batch.events] == [outcome]


class Clock(HostTime):
    """Whose seconds are the guest's, as in exact time."""

    def now(self) -> float:
        return super().now() - START + 5.0


START = time.monotonic()


def test_what_spoils_evidence_is_found_by_the_boards_clock(tmp_path: Path) -> None:
    class Exact(FakeBoard):
        time = Clock()

        def hazards(self) -> list[Any]:
            event = {"time": 1e9, "at": self.time.now() - 0.1, "kind": "unmodelled", "text": "GPU_CMD 9"}
            (tmp_path / "events").write_text(json.dumps(event) + "\nno json\n")
            return list(GpuEvents(tmp_path / "events", now=self.time.now).hazards())

    board = cast(BootedBoard, Exact([FIRST]))
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        batch = Batch(board, log, WORK, prefix="b", count=1, log_deadline=1000, on_result=None)
        batch.run()
    assert [event.outcome for event in batch.events] == [Outcome.ERROR]
    assert "unmodelled: GPU_CMD 9" in batch.events[0].message


class Late(FakeBoard):
    """Whose kernel tells of a fault 4 µs after the end marker of each program."""

    def _iteration(self, name: str, boot: str, say: Sink) -> None:
        super()._iteration(name, boot, say)
        assert self._log is not None
        message = r"panthor mali-gpu.1.auto: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\x0a"
        lines = (
            "raw fault status: 0x7CD003C3",
            "decoded fault status: SLAVE FAULT",
            "exception type 0xC3: X",
            "access type 0x3: WRITE",
            "source id 0x7CD0",
        )
        self._log(f"3,{next(self._seq)},7,-;{message}{chr(92)}x0a".encode() + r"\x0a".join(lines).encode() + b"\n")


def test_findings_after_an_end_marker_are_told_with_it_and_whether_they_were_provoked(tmp_path: Path) -> None:
    job = Job("b", "k", "after", "after1", "after1.1", 0, 1, str(tmp_path), str(tmp_path), (), None, 1)
    board = cast(BootedBoard, Late([FIRST]))
    sent: list[OfBoot] = []
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        session = Session(job, _kernel(tmp_path), board, log, sent.append)
        session.iterate(Workload(WORK.name, WORK.argv, iterations=1))
        with session.findings_expected({"mmu-fault"}):
            session.program("gpu-job", "--mode", "bad-store")
        session.unexpected_since(0)
        with session.findings_allowed({"mmu-fault"}):
            session.program("heap-exit", "--mode", "exit")
        assert session.unexpected_since(0) == []
        session.end_log()
    session.send_strays()
    strays = [event for event in sent if isinstance(event, StrayEvent)]
    assert [(s.marker.id, s.marker.workload, s.expected) for s in strays if s.marker] == [
        ("after1.1.1-1", "heap-exit/exit", False),
        ("after1.1.2-1", "heap-exit/exit", True),
        ("after1.1.3-1", "heap-exit/exit", False),
        ("after1.1.4-1", "heap-exit/exit", False),
    ]
    assert {s.marker and s.marker.delay for s in strays} == {4e-6}
    assert [event.outcome for event in sent if isinstance(event, Iteration)] == [Outcome.PASS]


def test_detectors_that_speak_once_are_on_record_with_each_iteration(tmp_path: Path) -> None:
    board = cast(BootedBoard, FakeBoard([FIRST]))
    work = Workload(WORK.name, WORK.argv, finds=("lockdep",))
    with LogFollower(board, tmp_path / "kmsg.log") as log:
        batch = Batch(
            board,
            log,
            work,
            prefix="b",
            count=1,
            log_deadline=60,
            on_result=None,
            once=once_per_boot("console=ttyAMA0"),
        )
        batch.run()
    assert (batch.events[0].per_boot, batch.events[0].once) == (True, ("kasan", "lockdep"))


def test_what_is_counted_per_boot() -> None:
    once = once_per_boot("quiet kasan_multi_shot")
    assert once == {"lockdep"}
    assert not WORK.counted_per_boot(once)
    assert not Workload("a/b", ("a",), finds=("kasan",)).counted_per_boot(once)
    assert Workload("a/b", ("a",), finds=("kasan",)).counted_per_boot(once_per_boot(""))
    assert not Workload("a/b", ("a",), finds=("kasan", "mmu-fault")).counted_per_boot(once_per_boot(""))
    assert Workload("a/b", ("a",), finds=("warning",), per_boot=True).counted_per_boot(once)


def _session(tmp_path: Path, board: FakeBoard, log: LogFollower, sent: list[OfBoot]) -> Session:
    job = Job("b", "k", "after", "after1", "after1.1", 0, 1, str(tmp_path), str(tmp_path), (), None, 1)
    return Session(job, _kernel(tmp_path), cast(BootedBoard, board), log, sent.append)


def _kernel(path: Path) -> Kernel:
    (path / "config").write_text("CONFIG_DRM_PANTHOR=m\n")
    return Kernel("k", path, "arm64", "6.12.117", "f" * 40, "6.12.117")


def test_a_fault_between_two_iterations_is_on_record_before_the_first_counts_as_done(tmp_path: Path) -> None:
    """A resumed run does not repeat what is done, so a run that is killed here must not have lost the fault."""
    sent: list[OfBoot] = []
    board = Late([FIRST] * 4)
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        _session(tmp_path, board, log, sent).iterate(Workload(WORK.name, WORK.argv, iterations=4))
    events = [event for event in sent if isinstance(event, StrayEvent | Iteration)]
    for place, event in enumerate(events):
        if isinstance(event, Iteration) and event.id != "after1.1.1-4":  # behind the last the log is still open
            assert event.id in {e.marker.id for e in events[:place] if isinstance(e, StrayEvent) and e.marker}


def test_an_interrupted_boot_tells_the_faults_that_its_log_had_by_then(tmp_path: Path) -> None:
    sent: list[OfBoot] = []
    board = Late([FIRST])
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        session = _session(tmp_path, board, log, sent)
        session.iterate(Workload(WORK.name, WORK.argv, iterations=1))
        session.emit_end(complete=False)
    assert [event.EVENT for event in sent] == ["quota", "iteration", "stray", "boot-end"]


def test_what_the_gpu_did_wrong_and_bore_is_kept_apart_from_what_spoils_evidence(tmp_path: Path) -> None:
    lines = [
        {"time": 1.0, "kind": kind, "text": text}
        for kind, text in (
            ("injected", "flush-lost,nth=1,times=1:"),
            ("misuse", "read of GPU_ID while the clock stood"),
            ("unmodelled", "GPU_CMD 9"),
            ("counters", "counters at the end"),
        )
    ]
    events = GpuEvents(tmp_path / "events")
    assert not events.struck()
    (tmp_path / "events").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [hazard.text for hazard in events.hazards()] == ["GPU_CMD 9"]
    assert list(events.struck()) == ["flush-lost,nth=1,times=1:"]
    assert list(events.misuses()) == ["read of GPU_ID while the clock stood"]


class Forgetful(FakeBoard):
    """Whose kernel loses three records after each program, or in it."""

    def __init__(self, boots: Sequence[str], *, inside: bool) -> None:
        super().__init__(boots)
        self.said = ("3,{},2,-;harmless",) if inside else ()
        self._inside = inside

    def _iteration(self, name: str, boot: str, say: Sink) -> None:
        if self._inside:
            lost = iter([0, 3, 3])
            numbers = self._seq
            self._seq = iter([next(numbers) + next(lost, 3) for _ in range(3)])
        super()._iteration(name, boot, say)
        for _ in range(3 * (not self._inside)):
            next(self._seq)


def test_records_that_are_lost_outside_iterations_are_on_record_too(tmp_path: Path) -> None:
    sent: list[OfBoot] = []
    board = Forgetful([FIRST], inside=False)
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        session = _session(tmp_path, board, log, sent)
        session.iterate(Workload(WORK.name, WORK.argv, iterations=1))
        session.end_log()
    session.send_strays()
    assert [event.after for event in sent if isinstance(event, LogGap)] == ["after1.1.1-1"]
    assert [event.outcome for event in sent if isinstance(event, Iteration)] == [Outcome.PASS]


def test_a_program_whose_log_is_not_whole_proves_nothing(tmp_path: Path) -> None:
    board = Forgetful([FIRST], inside=True)
    lost = pytest.raises(EvidenceError, match="records of the kernel log were lost")
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log, lost:
        _session(tmp_path, board, log, []).program("gpu-job", "--mode", "store")
