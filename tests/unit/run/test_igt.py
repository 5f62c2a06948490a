# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT's results in IGT's words, and drm-ci's lists of what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.errors import UsageError
from panthorlab.run.igt import Expectations, Word, proven, read_tests, reason_of, word_of
from panthorlab.run.ktap import Report, parse_iterations

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


@pytest.mark.parametrize(("status", "word"), [
    (0, Word.PASS), (77, Word.SKIP), (79, Word.NOTRUN), (127, Word.NOTRUN), (98, Word.FAIL), (112, Word.ABORT),
    (1, Word.FAIL), (99, Word.FAIL), (137, Word.CRASH), (134, Word.CRASH),
])
def test_exit_statuses_in_igts_words(status: int, word: Word) -> None:
    assert word_of(report(status=status), findings=False) is word


def test_signals_deadlines_and_the_kernel_log() -> None:
    assert word_of(report(status=-1, signal=11), findings=False) is Word.CRASH
    assert word_of(report(status=-1, signal=9, rest=" timeout=1"), findings=False) is Word.TIMEOUT
    assert word_of(report(PASSED), findings=True) is Word.DMESG_WARN
    assert word_of(report(status=77), findings=True) is Word.DMESG_WARN
    assert word_of(report(status=98), findings=True) is Word.DMESG_FAIL
    assert word_of(report(status=-1, signal=11), findings=True) is Word.CRASH


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
    lists = Expectations.read([tmp_path, tmp_path / "none"], "b")
    assert lists.expected("core_hotunplug@hotreplug", Word.FAIL)
    assert not lists.expected("core_hotunplug@hotreplug", Word.CRASH)
    assert not lists.expected("core_hotunplug@hotreplug", Word.PASS)
    assert lists.expected("panthor/x@y", Word.ABORT)
    assert lists.expected("syncobj_wait@wait-any", Word.FAIL)
    assert not lists.expected("core_auth@basic-auth", Word.FAIL)
    assert lists.skipped("core_setmaster@a")
    assert lists.skipped("kms_3d")
    assert not lists.skipped("core_auth@a")
    assert Expectations.read([tmp_path], "other") == Expectations()


@pytest.mark.parametrize(("file", "text"), [
    ("b-fails.txt", "core_auth@basic-auth"), ("b-fails.txt", "core_auth@basic-auth,Broken"), ("b-skips.txt", "core_(")],
)
def test_what_is_no_list_is_refused_with_its_place(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(f"\n{text}\n")
    with pytest.raises(UsageError, match=f"{file}:2"):
        Expectations.read([tmp_path], "b")


def test_the_list_of_tests(tmp_path: Path) -> None:
    file = tmp_path / "testlist.txt"
    file.write_text("# about\npanthor/panthor_vm@vm_bind\ncore_setmaster_vs_auth\n")
    assert read_tests(file) == ["panthor/panthor_vm@vm_bind", "core_setmaster_vs_auth"]
    file.write_text("core_auth; reboot\n")
    with pytest.raises(UsageError, match=r"testlist.txt:1"):
        read_tests(file)
