# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts against a board written here, whose kernel log has holes: what nobody saw is not judged, and told."""

from __future__ import annotations

import argparse
import errno
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.board.api import BootedBoard, RemoteFileError
from panthorlab.board.boardtime import HOST, HostTime
from panthorlab.errors import EvidenceError, LabError
from panthorlab.fuzz.script import ScriptLine, parse
from panthorlab.run import fuzzing
from panthorlab.run.evidence import BOOT_ID, LogFollower
from panthorlab.run.fuzz import GoodJob, Performed, ScriptRunner
from panthorlab.run.held import Holdings
from panthorlab.run.progress import ProgressDisplay

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
SCRIPT = parse("vm_create v0\nexit\n")
WARNING = (
    "4,{},1,-;------------[ cut here ]------------",
    "4,{},1,-;WARNING: CPU: 0 PID: 9 at drivers/gpu/drm/panthor/panthor_mmu.c:1 panthor_vm_bind+0x1/0x2",
    "4,{},1,-;---[ end trace 0000000000000000 ]---",
)
OOPS = (
    "1,{},1,-;Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010",
    "1,{},1,-;Internal error: Oops: 0000000096000004 [#1] SMP",
    "4,{},1,-;pc : panthor_vm_bind+0x1/0x2",
    "4,{},1,-;Call trace:",
    "4,{},1,-; panthor_vm_bind+0x1/0x2",
    "4,{},1,-;---[ end trace 0000000000000000 ]---",
)
Sink = Callable[[bytes], None]


@dataclass
class Process:
    ended: bool = True

    def wait(self, _timeout: float) -> int:
        if not self.ended:
            raise LabError("it runs")
        return 0

    def kill(self) -> None:
        pass


class Board:
    """Its log has what `during` says while a script runs, and `job` while the good job after it does: records whose
    number is filled in, LOST for one that is not told, or words without one."""

    LOST = "lost"
    work_dir, boot_id, log_start, slowness = "/w", BOOT, 0, 1.0
    time: HostTime = HOST
    hangs, printed = False, b""

    def __init__(self, during: Sequence[str] = (), job: Sequence[str] = ()) -> None:
        self.shell, self.during, self.job = self, during, job
        self._log: Sink | None = None
        self._numbers = itertools.count()

    def start(
        self, argv: Sequence[str], *, on_stdout: Sink, on_stderr: Sink, env: Mapping[str, str] | None = None
    ) -> Process:
        program = argv[0].rpartition("/")[2]
        if program == "kmsg-follow":
            self._log = on_stdout
            self._say(("6,{},1,-;Booting Linux",))
            return Process(ended=False)
        if program == "gpu-fuzz":
            self._say(self.during)
            on_stdout(self.printed)
            return Process(ended=not self.hangs)
        name, work = f"{argv[argv.index('--prefix') + 1]}-1", argv[argv.index("--name") + 1]
        begin = f"begin id={name} workload={work} boot={BOOT}"
        self._say((f"14,{{}},1,-;panthorlab: {begin}", *self.job, f"14,{{}},3,-;panthorlab: end id={name}"))
        on_stdout(
            f"# panthorlab {begin}\n    ok 1 job\nok 1 {work} # id={name} status=0 signal=0 us=9 sentinel=ok\n"
            f"# panthorlab end id={name}\n".encode()
        )
        return Process()

    def _say(self, records: Sequence[str]) -> None:
        assert self._log is not None
        for record in records:
            if record == self.LOST:
                next(self._numbers)
            else:
                text = record.format(next(self._numbers)) if "{}" in record else record
                self._log(f"{text}\n".encode())

    def get(self, path: str) -> bytes:
        if path != BOOT_ID:
            raise RemoteFileError(path, errno=errno.ENOENT)
        return f"{BOOT}\n".encode()

    def put(self, _data: bytes, _path: str) -> None:
        pass

    def nothing(self) -> list[Any]:
        return []

    hazards = misuses = nothing

    def behave(self) -> None:
        pass

    def check_alive(self) -> None:
        pass


class OneBoot:
    """Scripts on one `Board`, as `fuzzing.Boots` has them."""

    misdeeds: frozenset[str] = frozenset()

    def __init__(self, board: Board, log: LogFollower) -> None:
        self._runner = ScriptRunner(
            cast(BootedBoard, board), log, GoodJob(cast(BootedBoard, board), log), Holdings(cast(BootedBoard, board))
        )
        self.performed = 0

    def perform(self, script: tuple[ScriptLine, ...]) -> Performed:
        self.performed += 1
        return self._runner.perform(script)


HOLES = {
    "in the script": ((Board.LOST, "6,{},1,-;one"), ()),
    "at its end": ((Board.LOST,), ()),
    "the follower was overrun": (("kmsg-follow: records were overwritten",), ()),
    "a line is torn": (("6,7",), ()),
    "in the job after it": ((), (Board.LOST, "6,{},1,-;one")),
    "at the job's end": ((), (Board.LOST,)),
}


@pytest.mark.parametrize("where", HOLES)
def test_a_script_whose_log_has_a_hole_is_not_judged(tmp_path: Path, where: str) -> None:
    board = Board()
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        boot = OneBoot(board, log)
        assert not boot.perform(SCRIPT).bad
        board.during, board.job = HOLES[where]
        with pytest.raises(EvidenceError, match=r"records (of the kernel log )?were lost"):
            boot.perform(SCRIPT)
        board.during = board.job = ()
        assert not boot.perform(SCRIPT).bad, "a hole is of the script that it is in alone"


@pytest.mark.parametrize("where", HOLES)
def test_a_finding_beside_a_hole_is_a_finding(tmp_path: Path, where: str) -> None:
    during, job = HOLES[where]
    board = Board((*WARNING, *during), job)
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        bad = OneBoot(board, log).perform(SCRIPT).bad
    assert [signature.split(":")[0] for signature in bad] == ["warning"]


def test_a_script_that_hangs_after_an_oops_is_not_waited_for(tmp_path: Path) -> None:
    board = Board(OOPS)
    board.hangs, board.slowness = True, 0.05
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        bad = OneBoot(board, log).perform(SCRIPT).bad
    assert [signature.split(":")[0] for signature in bad] == ["oops"], "it was waited for to the deadline"


class QuickClock(HostTime):
    """Of a guest in exact time on a fast host: a second of its own at each look."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 1.0
        return self._now


def test_how_long_a_script_may_take_is_of_the_boards_time(tmp_path: Path) -> None:
    board = Board()
    board.hangs, board.time = True, QuickClock()
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        bad = OneBoot(board, log).perform(SCRIPT).bad
    assert bad == {"hang": "the script did not end in 60 s"}


def test_what_no_kernel_may_let_anybody_do_is_a_finding(tmp_path: Path) -> None:
    board = Board()
    board.printed = b"TAP version 14\n1..1\n# accepted bind vm=v0 va=e0\nok 1 script\n"
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        bad = OneBoot(board, log).perform(SCRIPT).bad
    assert bad == {"accepted:bind": "addresses of the kernel's own were given: bind vm=v0 va=e0"}


def test_what_is_lost_of_a_buffer_is_a_finding(tmp_path: Path) -> None:
    board = Board()
    board.printed = b"TAP version 14\n1..1\n# lost touch map=m0\nok 1 script\n"
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        bad = OneBoot(board, log).perform(SCRIPT).bad
    assert bad == {"lost": "what the CPU wrote to a buffer is not there: touch map=m0"}


def test_unjudged_scripts_are_told_and_no_clean_end(tmp_path: Path) -> None:
    board, told = Board((Board.LOST,)), StringIO()
    with LogFollower(cast(BootedBoard, board), tmp_path / "kmsg.log") as log:
        boot = OneBoot(board, log)
        totals = fuzzing.FuzzTotals()
        options = argparse.Namespace(seconds=0.2, seed=1)
        found = fuzzing.walk(cast(fuzzing.Boots, boot), options, totals, ProgressDisplay(stream=told))
        assert found is None
        assert totals.unjudged == totals.scripts == boot.performed > 0
        assert "script 1:1 could not be judged: records of the kernel log were lost" in told.getvalue()
        assert fuzzing._status(found, totals) == 3

        totals = fuzzing.FuzzTotals()
        found = fuzzing._once(cast(fuzzing.Boots, boot), SCRIPT, totals, ProgressDisplay(stream=told))
        assert found is None
        assert totals.unjudged == totals.scripts == fuzzing.TRIES
        assert fuzzing._status(found, totals) == 3

        board.during = ()
        totals = fuzzing.FuzzTotals()
        assert fuzzing._once(cast(fuzzing.Boots, boot), SCRIPT, totals, ProgressDisplay(stream=told)) is None
        assert fuzzing._status(None, totals) == totals.unjudged == 0


EVICTS = parse("""\
vm_create v0
bo_create b0
map m0 bo=b0
sparse va=0x2000000
export f0 bo=b0
evict out
look
touch map=m0
close
""")


class LosesWhatIsLetGo:
    """A kernel that forgets what was in a buffer."""

    def __init__(self) -> None:
        self.spoiled = 0

    def perform(self, script: tuple[ScriptLine, ...]) -> Performed:
        calls = [line.call for line in script]
        lost = [call for call in calls if call in ("bo_create", "map", "evict", "touch")]
        return Performed({"lost": "touch map=m0"} if lost == ["bo_create", "map", "evict", "touch"] else {})

    def spoil(self) -> None:
        self.spoiled += 1


def test_a_script_with_later_calls_is_made_short_and_a_suite(tmp_path: Path) -> None:
    found = fuzzing.Found("1:1", "lost", "touch map=m0", EVICTS, EVICTS, repeats=False)
    found = fuzzing._shorten(cast(fuzzing.Boots, LosesWhatIsLetGo()), found, ProgressDisplay(stream=StringIO()))
    assert found.repeats
    assert [line.call for line in found.script] == ["bo_create", "map", "evict", "touch"]
    fuzzing._keep(tmp_path, found, "finding", found.script)
    assert parse((tmp_path / "finding.script").read_text()) == found.script
    suite: dict[str, Any] = {}
    exec((tmp_path / "test_found.py").read_text(), suite)  # noqa: S102 - that is what pytest does with it
    assert parse(suite["SCRIPT"]) == found.script
    assert suite["pytestmark"].args == ("swap",), "without swap nothing is let go"


def test_a_suite_that_lets_nothing_go_needs_no_swap(tmp_path: Path) -> None:
    found = fuzzing.Found("1:1", "left", "one VM", SCRIPT, SCRIPT, repeats=True)
    fuzzing._keep(tmp_path, found, "finding", SCRIPT)
    assert "pytest" not in (tmp_path / "test_found.py").read_text().split("SCRIPT")[0].replace("must_be", "")
