# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run -- COMMAND` against a shell written here: what the kernel said is told, and a crash ends the wait."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.board.api import BootedBoard, Hazard
from panthorlab.board.boardtime import HOST
from panthorlab.errors import BootError, LabError
from panthorlab.run import command
from panthorlab.run.command import CommandResult, _Capture

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
FAULT = (
    "panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\\x0a"
    "raw fault status: 0x7CD003C3"
)
OOPS = "Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP"
KASAN = "BUG: KASAN: slab-use-after-free in panthor_vm_idle+0x10/0x20"
Sink = Callable[[bytes], None]


class Process:
    """Ends with `status` at once, or when it is told to."""

    def __init__(self, status: int | None = None) -> None:
        self.status, self.killed, self._end = status or 0, False, threading.Event()
        if status is not None:
            self._end.set()

    def end(self, status: int) -> None:
        self.status = status
        self._end.set()

    @property
    def ended(self) -> bool:
        return self._end.is_set()

    def wait(self, timeout: float) -> int:
        if not self._end.wait(timeout):
            raise LabError("did not end")
        return self.status

    def kill(self) -> None:
        self.killed = True


class Board:
    """Runs COMMAND: the kernel says `during` and then, when the GPU is idle, `late`; the console has `console`."""

    work_dir, boot_id, log_start, slowness, name = "/w", BOOT, 0, 0.01, "fake"
    time = HOST

    def digest(self) -> None:
        """Not in exact time."""

    def __init__(
        self, folder: Path, process: Process, during: Sequence[str], late: Sequence[str], console: str
    ) -> None:
        self.shell, self.process, self.during, self.late = self, process, during, late
        self.console_log = folder / "console.log"
        self.console_log.write_text(console)
        self.seq, self.step = 0, 1
        self.hazard: list[Hazard] = []
        self.log: Sink = lambda _chunk: None

    def say(self, text: str, priority: int = 3) -> None:
        self.log(f"{priority},{self.seq},{self.seq + 1},-;{text}\n".encode())
        self.seq += self.step

    def start(
        self, argv: Sequence[str], *, on_stdout: Sink, on_stderr: Sink, env: Mapping[str, str] | None = None
    ) -> Process:
        if argv[0].endswith("kmsg-follow"):
            self.log = on_stdout
            return Process()
        if not argv[0].endswith("iterate"):
            on_stdout(b"hello\n")
            for text in self.during:
                self.say(text)
            return self.process
        begin = f"begin id=settle-1 workload=settle/info boot={BOOT}"
        self.say(f"panthorlab: {begin}", 14)
        for text in self.late:
            self.say(text)
        self.say("panthorlab: end id=settle-1", 14)
        result = "ok 1 settle/info # id=settle-1 status=0 signal=0 us=9 sentinel=ok"
        on_stdout(f"# panthorlab {begin}\n    ok 1 job\n{result}\n# panthorlab end id=settle-1\n".encode())
        return Process(0)

    def get(self, _path: str) -> bytes:
        return BOOT.encode()

    def hazards(self) -> list[Hazard]:
        return self.hazard

    def last_words(self) -> bytes:
        return self.console_log.read_bytes()

    def check_alive(self) -> None:
        pass


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CommandResult]:
    monkeypatch.setattr(command, "STEP", 0.01)

    def go(
        process: Process,
        during: Sequence[str] = (),
        late: Sequence[str] = (),
        console: str = "",
        change: Callable[[Board], object] = lambda _board: None,
        stdout: Any = None,
    ) -> CommandResult:
        board = Board(tmp_path, process, during, late, console)
        change(board)
        outcome = CommandResult()
        streams = _Capture(stdout or io.BytesIO(), echo=True), _Capture(io.BytesIO(), echo=True)
        command._run(cast(BootedBoard, board), ["prog"], tmp_path, outcome, streams, command.SETTLE)
        return outcome

    return go


def test_findings_during_and_after_the_command_are_told(
    run: Callable[..., CommandResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(Process(0), during=[FAULT], late=[FAULT, KASAN])
    assert (outcome.status, outcome.judged, outcome.holes) == (0, 1, [])
    assert [finding.kind for finding in outcome.findings] == ["mmu-fault", "mmu-fault", "kasan"]
    command._tell(outcome, tmp_path)
    told = capsys.readouterr().err
    assert "3 findings" in told
    assert "2 × mmu-fault: AS1 VA 0x0000800000003000" in told
    assert f"run: {tmp_path}" in told


def test_a_clean_command_is_judged_clean(run: Callable[..., CommandResult]) -> None:
    outcome = run(Process(7))
    assert (outcome.status, outcome.judged, outcome.findings, outcome.died) == (7, 0, [], None)


def test_what_was_not_seen_is_no_pass(run: Callable[..., CommandResult]) -> None:
    def skip(board: Board) -> None:
        board.during = ["a", "b"]
        board.step = 2

    assert run(Process(0), change=skip).judged == 4, "records were lost"
    unmodelled = run(Process(0), change=lambda board: board.hazard.append(Hazard(1.0, "unmodelled", "register 0x10")))
    assert (unmodelled.status, unmodelled.judged, unmodelled.holes) == (0, 4, ["unmodelled: register 0x10"])


@pytest.mark.parametrize("where", ["log", "console"])
def test_an_oops_ends_the_wait(run: Callable[..., CommandResult], where: str) -> None:
    process = Process()
    told = {"during": [OOPS, "x"]} if where == "log" else {"console": f"[    1.000000] {OOPS}\n"}
    outcome = run(process, **told)
    assert isinstance(outcome.died, BootError)
    assert (outcome.died.exit_status, outcome.status, outcome.judged) == (1, None, 1)
    assert "Oops" in str(outcome.died)
    assert process.killed
    assert "oops" in [finding.kind for finding in outcome.findings]


def test_a_command_that_ends_of_the_oops_keeps_its_status(run: Callable[..., CommandResult]) -> None:
    process = Process()

    def ends(board: Board) -> None:
        board.slowness = 10.0  # so long may it take to end
        threading.Timer(0.1, lambda: process.end(-9)).start()

    outcome = run(process, during=[OOPS], change=ends)
    assert (outcome.status, outcome.died, outcome.judged) == (137, None, 1)


def test_a_broken_stdout_ends_the_command_and_is_no_lost_board(run: Callable[..., CommandResult]) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    process = Process()
    outcome = run(process, stdout=Full())
    assert isinstance(outcome.died, LabError)
    assert "standard output" in str(outcome.died)
    assert process.killed
