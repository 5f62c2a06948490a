# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT's results in IGT's words, and drm-ci's lists of what is expected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest

from panthorlab.board.api import BootedBoard
from panthorlab.errors import EvidenceError, UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.run.evidence import LogFollower
from panthorlab.run.igt import IgtExpectations, IgtResult, proven, read_tests, reason_of, result_of, run_test
from panthorlab.run.job import Job
from panthorlab.run.ktap import Report, parse_iterations
from panthorlab.run.session import Session
from tests.unit.run.test_iterations import FIRST, FakeBoard, Sink

SKIPPED = """\
IGT-Version: 2.5-NO-GIT (x86_64) (Linux: 6.12.117 x86_64)
Opened device: /dev/dri/card0
Test requirement not met in function igt_require_sw_sync, file ../lib/sw_sync.c:265:
Test requirement: kernel_has_sw_sync()
Last errno: 2, No such file or directory
Subtest invalid-wait-bad-flags: SKIP (0.000s)
"""
UNPLUGGABLE = """\
Starting subtest: hotreplug-lateclose
PCI mali-gpu.1.auto has no sysfs 'remove' attribute, skipping test
Subtest hotreplug-lateclose: SKIP (1.208s)
"""
PASSED = "Starting subtest: vm_bind\nSubtest vm_bind: SUCCESS (0.012s)\n"


def report(output: str = "", *, status: int = 0, signal: int = 0, rest: str = "") -> Report:
    """As `iterate` tells it."""
    ok = "not ok" if status or signal else "ok"
    lines = [
        "# panthorlab begin id=b-1 workload=igt/x boot=b",
        *(f"    {line}" for line in output.splitlines()),
        f"{ok} 1 igt/x # id=b-1 status={status} signal={signal} us=9 sentinel=none{rest}",
        "# panthorlab end id=b-1",
    ]
    return next(item for item in parse_iterations(lines) if isinstance(item, Report))


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (0, IgtResult.PASS),
        (77, IgtResult.SKIP),
        (79, IgtResult.NOTRUN),
        (127, IgtResult.NOTRUN),
        (98, IgtResult.FAIL),
        (112, IgtResult.ABORT),
        (1, IgtResult.FAIL),
        (99, IgtResult.FAIL),
        (137, IgtResult.CRASH),
        (134, IgtResult.CRASH),
    ],
)
def test_exit_statuses_in_igts_words(status: int, word: IgtResult) -> None:
    assert result_of(report(status=status), findings=False) is word


def test_signals_deadlines_and_the_kernel_log() -> None:
    assert result_of(report(status=-1, signal=11), findings=False) is IgtResult.CRASH
    assert result_of(report(status=-1, signal=9, rest=" timeout=1"), findings=False) is IgtResult.TIMEOUT
    assert result_of(report(PASSED), findings=True) is IgtResult.DMESG_WARN
    assert result_of(report(status=77), findings=True) is IgtResult.DMESG_WARN
    assert result_of(report(status=98), findings=True) is IgtResult.DMESG_FAIL
    assert result_of(report(status=-1, signal=11), findings=True) is IgtResult.CRASH


def test_a_pass_is_what_igt_says_not_what_exits_with_0() -> None:
    assert proven(report(PASSED))
    assert proven(report("SUCCESS (0.000s)"))
    assert not proven(report("Starting subtest: vm_bind\n"))
    assert not proven(report())


def test_why_a_test_did_not_run() -> None:
    assert reason_of(SKIPPED.splitlines()) == "Test requirement: kernel_has_sw_sync()"
    assert "no sysfs 'remove' attribute" in reason_of(UNPLUGGABLE.splitlines())
    assert reason_of(["# iterate: /igt/core_auth: No such file or directory"])
    assert reason_of(PASSED.splitlines()) == ""


def test_lists_of_one_board(tmp_path: Path) -> None:
    (tmp_path / "b-fails.txt").write_text("# Bug Report: x\ncore_hotunplug@hotreplug,Fail\npanthor/x@y,Crash\n")
    (tmp_path / "b-flakes.txt").write_text("# Failure Rate: 40\nsyncobj_.*@wait-.*\n")
    (tmp_path / "b-skips.txt").write_text("^core_set.*\nkms_\n")
    lists = IgtExpectations.read([tmp_path, tmp_path / "none"], "b")
    assert lists.expected("core_hotunplug@hotreplug", IgtResult.FAIL)
    assert not lists.expected("core_hotunplug@hotreplug", IgtResult.CRASH)
    assert not lists.expected("core_hotunplug@hotreplug", IgtResult.PASS)
    assert lists.expected("panthor/x@y", IgtResult.ABORT)
    assert lists.expected("syncobj_wait@wait-any", IgtResult.FAIL)
    assert not lists.expected("core_auth@basic-auth", IgtResult.FAIL)
    assert lists.skipped("core_setmaster@a")
    assert lists.skipped("kms_3d")
    assert not lists.skipped("core_auth@a")
    assert IgtExpectations.read([tmp_path], "other") == IgtExpectations()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("b-fails.txt", "core_auth@basic-auth"),
        ("b-fails.txt", "core_auth@basic-auth,Broken"),
        ("b-skips.txt", "core_("),
        ("provokes.txt", "panthor/x@y"),
        ("provokes.txt", "panthor/x@y,bang"),
    ],
)
def test_what_is_no_list_is_refused_with_its_place(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(f"\n{text}\n")
    with pytest.raises(UsageError, match=f"{file}:2"):
        IgtExpectations.read([tmp_path], "b")


def test_the_list_of_tests(tmp_path: Path) -> None:
    file = tmp_path / "testlist.txt"
    file.write_text("# about\npanthor/panthor_vm@vm_bind\ncore_setmaster_vs_auth\n")
    assert read_tests(file) == ["panthor/panthor_vm@vm_bind", "core_setmaster_vs_auth"]
    file.write_text("core_auth; reboot\n")
    with pytest.raises(UsageError, match=r"testlist.txt:1"):
        read_tests(file)


class Board(FakeBoard):
    """One on which an IGT test runs: what it prints, its exit status, and what the kernel tells meanwhile."""

    name = "b"
    output, status = PASSED, 0

    def _iteration(self, name: str, boot: str, say: Sink) -> None:
        super()._iteration(name, boot, lambda _stdout: None)
        begin = f"# panthorlab begin id={name} workload=igt/x boot={boot}"
        ok = "not ok" if self.status else "ok"
        lines = [
            begin,
            *(f"    {line}" for line in self.output.splitlines()),
            f"{ok} 1 igt/x # id={name} status={self.status} signal=0 us=9 sentinel=none",
            f"# panthorlab end id={name}",
        ]
        say("".join(f"{line}\n" for line in lines).encode())


def run_on(board: type[Board], tmp_path: Path, expectations: IgtExpectations | None = None) -> tuple[str, str]:
    """How the pytest test ended that ran one IGT test, and what it said."""
    job = Job("b", "k", "after", "after1", "after1.1", 0, 1, str(tmp_path), str(tmp_path), (), None, 1)
    booted = cast(BootedBoard, board([FIRST]))
    with LogFollower(booted, tmp_path / "kmsg.log") as log:
        session = Session(job, cast(Kernel, None), booted, log, lambda _event: None)
        try:
            return "pass", run_test(session, "panthor/x@y", expectations or IgtExpectations())
        except (pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception) as ended:
            # an xfail is a kind of failure to pytest, and is not one here
            return type(ended).__name__.lower(), str(ended)


class TimedOut(Board):
    """IGT's test is content, and the kernel log says that its job was given up: it has tested nothing."""

    said = ("3,{},2,-;panthor mali-gpu.1.auto: [drm] *ERROR* job timeout",)


class TimedOutAndSkipped(TimedOut):
    output, status = SKIPPED, 77


class TimedOutAndFailed(TimedOut):
    output, status = "Subtest vm_bind: FAIL (0.1s)\n", 98


class TimedOutAndCrashed(TimedOut):
    status = 139


class Failed(Board):
    output, status = "Subtest vm_bind: FAIL (0.1s)\n", 98


class Skipped(Board):
    output, status = SKIPPED, 77


class Mute(Board):
    output = ""


def test_a_subtest_passes_if_igt_and_the_kernel_log_say_so(tmp_path: Path) -> None:
    assert run_on(Board, tmp_path) == ("pass", IgtResult.PASS)
    with pytest.raises(EvidenceError, match="did not say"):
        run_on(Mute, tmp_path)


@pytest.mark.parametrize(
    ("board", "word"),
    [
        (TimedOut, "dmesg-warn"),
        (TimedOutAndSkipped, "dmesg-warn"),
        (TimedOutAndFailed, "dmesg-fail"),
        (TimedOutAndCrashed, "crash"),
    ],
)
@pytest.mark.parametrize(
    "lists",
    [
        IgtExpectations(),
        *(IgtExpectations({"panthor/x@y": word}) for word in ("fail", "skip", "crash")),
        IgtExpectations(flakes=(re.compile("panthor/x"),)),
    ],
    ids=["none", "fail", "skip", "crash", "flake"],
)
def test_what_the_kernel_log_says_is_a_failure_whatever_igt_and_the_lists_say(
    tmp_path: Path, board: type[Board], word: str, lists: IgtExpectations
) -> None:
    how, told = run_on(board, tmp_path, lists)
    assert (how, told.partition(":")[0]) == ("failed", word)
    assert "job timeout" in told


def test_what_a_test_logs_on_purpose_is_not_held_against_it(tmp_path: Path) -> None:
    lists = IgtExpectations(provokes={"panthor/x@y": frozenset({"job-timeout"})})
    assert run_on(TimedOut, tmp_path, lists) == ("pass", IgtResult.PASS)
    how, told = run_on(TimedOutAndFailed, tmp_path, lists)
    assert (how, told.partition(":")[0]) == ("failed", "fail")
    for other in ({"panthor/x@y": frozenset({"mmu-fault"})}, {"panthor/x@z": frozenset({"job-timeout"})}):
        assert run_on(TimedOut, tmp_path, IgtExpectations(provokes=other))[1].startswith("dmesg-warn")


def test_a_failure_that_a_list_names_is_no_news(tmp_path: Path) -> None:
    assert run_on(Failed, tmp_path)[0] == "failed"
    assert run_on(Failed, tmp_path, IgtExpectations({"panthor/x@y": "fail"}))[0] == "xfailed"
    assert run_on(Failed, tmp_path, IgtExpectations({"panthor/x@y": "skip"}))[0] == "failed"
    assert run_on(Failed, tmp_path, IgtExpectations(flakes=(re.compile("x@y"),)))[0] == "xfailed"


def test_a_skip_is_news_where_the_lists_name_those_that_skip(tmp_path: Path) -> None:
    for lists in (
        IgtExpectations(),
        IgtExpectations({"a@b": "fail"}),
        IgtExpectations({"a@b": "skip", "panthor/x@y": "skip"}),
    ):
        assert run_on(Skipped, tmp_path, lists)[0] == "skipped"
    how, told = run_on(Skipped, tmp_path, IgtExpectations({"a@b": "skip"}))
    assert how == "failed"
    assert "b-fails.txt names those that skip" in told


def test_the_emulated_boards_lists_name_tests_that_run() -> None:
    lists = Path(__file__).parents[3] / "suites/igt"
    tests = {test for file in lists.glob("*testlist.txt") for test in read_tests(file)}
    for board in ("qemu-g610", "rock-5b"):
        fails = IgtExpectations.read([lists], board).fails
        assert fails, board
        assert fails.keys() <= tests
