# SPDX-License-Identifier: GPL-2.0-or-later
"""IGT's tests: how a subtest ended in IGT's words, and what was expected of it, in drm-ci's lists.

Tests are called as there: `core_auth@basic-auth`, `panthor/panthor_vm@vm_bind`, or the program alone if it has no
subtests.
Sources: lib/igt_core.h of igt-gpu-tools (exit statuses), its README (dmesg-warn, dmesg-fail), and the kernel's
Documentation/gpu/automated_testing.rst (`*-fails.txt`, `*-flakes.txt`, `*-skips.txt`). `provokes.txt` is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

from panthorlab.errors import EvidenceError, UsageError
from panthorlab.kmsg.patterns import Kind
from panthorlab.paths import data_dirs
from panthorlab.run.known import list_entries
from panthorlab.run.ktap import Report

if TYPE_CHECKING:
    from panthorlab.run.session import Session

MARKER_LENGTH: Final = 64
"""Of a name in the kernel log, for `iterate`."""


class IgtResult(StrEnum):
    """What IGT calls the result of a subtest."""

    PASS = "pass"  # noqa: S105 - no password
    SKIP = "skip"
    FAIL = "fail"
    CRASH = "crash"
    TIMEOUT = "timeout"
    ABORT = "abort"
    NOTRUN = "notrun"
    DMESG_WARN = "dmesg-warn"
    DMESG_FAIL = "dmesg-fail"


FOLDER: Final = "/igt"
"""Where a board has IGT's programs, as IGT's own build directory has them below tests/."""
TIMEOUT: Final = 120.0
"""Seconds for one subtest on the emulated board; the longest take four."""
GOOD: Final = frozenset({IgtResult.PASS, IgtResult.SKIP, IgtResult.NOTRUN})
# 79: no such subtest; 127: no such program, says `iterate`
STATUS: Final = {
    0: IgtResult.PASS,
    77: IgtResult.SKIP,
    79: IgtResult.NOTRUN,
    127: IgtResult.NOTRUN,
    98: IgtResult.FAIL,
    112: IgtResult.ABORT,
}
_IN_LISTS: Final = {
    "fail": {IgtResult.FAIL},
    "crash": {IgtResult.CRASH, IgtResult.ABORT},
    "timeout": {IgtResult.TIMEOUT},
    "skip": {IgtResult.SKIP},
    "missing": {IgtResult.NOTRUN},
}
_WHY: Final = re.compile(
    r"^(?:Test requirement: |Test assertion failure|Failed assertion: |Unknown subtest|# iterate: |.*\bskipping\b)"
)


def result_of(report: Report, *, findings: bool) -> IgtResult:
    """How a subtest ended. `findings`: whether the kernel log has any from its run, for a test may pass beside them."""
    if report.timeout:
        result = IgtResult.TIMEOUT
    elif report.signal or report.status > 128:
        result = IgtResult.CRASH
    else:
        result = STATUS.get(report.status, IgtResult.FAIL)
    if not findings:
        return result
    return IgtResult.DMESG_WARN if result in GOOD else IgtResult.DMESG_FAIL if result is IgtResult.FAIL else result


def reason_of(lines: Iterable[str]) -> str:
    """What IGT said of why a subtest did not pass: its requirements and assertions, each once."""
    return "; ".join(dict.fromkeys(line.strip() for line in lines if _WHY.match(line.strip())))


def proven(report: Report) -> bool:
    """Whether a test that passed says itself that it ran: an exit status of 0 may have other reasons."""
    return any(re.fullmatch(r"(?:Subtest .*: )?SUCCESS \(.*\)", line.strip()) for line in report.lines)


@dataclass(frozen=True)
class IgtExpectations:
    """The lists of one board. `fails`: result by test. `flakes`, `skips`: patterns to be found in a name.

    Fails that name one test with `Skip` name all that skip: another one that does is a failure, since it used to test
    something. drm-ci's own lists name none.

    `provokes`: kinds of findings that a test makes the kernel log on purpose, on any board.
    """

    fails: Mapping[str, str] = field(default_factory=dict)
    flakes: tuple[re.Pattern[str], ...] = ()
    skips: tuple[re.Pattern[str], ...] = ()
    provokes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folders: Iterable[Path], board: str) -> Self:
        """`BOARD-fails.txt`, `BOARD-flakes.txt`, `BOARD-skips.txt` and `provokes.txt` of all `folders`. Raises
        UsageError."""
        fails: dict[str, str] = {}
        provokes: dict[str, frozenset[str]] = {}
        patterns: dict[str, list[re.Pattern[str]]] = {"flakes": [], "skips": []}
        for folder in folders:
            for where, text in _entries(folder / f"{board}-fails.txt"):
                test, comma, result = text.rpartition(",")
                if not comma or result.strip().lower() not in _IN_LISTS:
                    raise UsageError(
                        f"{where}: {text!r} is not TEST,RESULT",
                        hint=f"results: {', '.join(name.title() for name in _IN_LISTS)}",
                    )
                fails[test.strip()] = result.strip().lower()
            for where, text in _entries(folder / "provokes.txt"):
                test, comma, kind = (part.strip() for part in text.rpartition(","))
                if not comma or kind not in set(Kind):
                    raise UsageError(f"{where}: {text!r} is not TEST,KIND", hint=f"kinds: {', '.join(Kind)}")
                provokes[test] = provokes.get(test, frozenset()) | {kind}
            for name, into in patterns.items():
                into += [_pattern(text, where) for where, text in _entries(folder / f"{board}-{name}.txt")]
        return cls(fails, tuple(patterns["flakes"]), tuple(patterns["skips"]), provokes)

    @classmethod
    def of_board(cls, lists: Path, board: str) -> Self:
        """Those beside a suite, and one's own in $PANTHORLAB_PATH/suites/igt. Raises UsageError."""
        return cls.read(dict.fromkeys([lists, *(folder / "igt" for folder in data_dirs("suites"))]), board)

    def skipped(self, test: str) -> bool:
        return any(pattern.search(test) for pattern in self.skips)

    def expected(self, test: str, result: IgtResult) -> bool:
        """Whether `result` is what a list says of `test`: it is no news then, and nobody is blamed."""
        if test in self.fails:
            return result in _IN_LISTS[self.fails[test]]
        return any(pattern.search(test) for pattern in self.flakes)

    def may_skip(self, test: str) -> bool:
        """Whether it is no news that `test` finds nothing to test on this board."""
        return "skip" not in self.fails.values() or self.fails.get(test) == "skip"


def read_tests(file: Path) -> list[str]:
    """The tests that a list names, in its order. Raises UsageError."""
    tests = []
    for where, text in _entries(file):
        if not re.fullmatch(r"[\w/-]+(@[\w.+-]+)*", text):
            raise UsageError(f"{where}: {text!r} names no test", hint="PROGRAM@SUBTEST, or PROGRAM if it has none")
        tests.append(text)
    return tests


def _entries(file: Path) -> list[tuple[str, str]]:
    """(place, entry); none if there is no such file."""
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    return [(f"{file}:{number}", entry) for number, entry, _ in list_entries(text.splitlines())]


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{where}: {text!r} is no regular expression: {error}") from error


def run_test(session: Session, test: str, expectations: IgtExpectations) -> IgtResult:
    """Run one test on the board, in a process of its own. Ends the running pytest test unless it passed."""
    if expectations.skipped(test):
        pytest.skip(f"{test}: is among those that {session.board.name}-skips.txt leaves out")
    program, _, subtest = test.partition("@")
    provoked = expectations.provokes.get(test, frozenset())
    with session.findings_expected(provoked):
        ran = session.program(
            f"{FOLDER}/{program}",
            *(["--run-subtest", subtest] if subtest else []),
            timeout=TIMEOUT,
            name=f"igt/{subtest or program}"[:MARKER_LENGTH],
            env={"IGT_SRANDOM": str(session.job_description.seed)},
        )
    report = ran.report
    findings = [finding for finding in ran.findings if finding.kind not in provoked]
    result = result_of(report, findings=bool(findings))
    why = f"{result}: {reason_of(report.lines) or report.why}"
    if not findings and expectations.expected(test, result):  # lists say nothing of the kernel log
        if result is not IgtResult.SKIP:
            pytest.xfail(f"{why} (as {session.board.name}'s lists say)")
    elif test in expectations.fails:
        session.note(f"igt {test}: {result}, though {session.board.name}-fails.txt says {expectations.fails[test]}")
    if result is IgtResult.SKIP and not expectations.may_skip(test):
        pytest.fail(f"{why} ({session.board.name}-fails.txt names those that skip, and not this one)", pytrace=False)
    if result in (IgtResult.SKIP, IgtResult.NOTRUN):
        pytest.skip(why)
    if result is IgtResult.PASS and not proven(report):
        raise EvidenceError(f"{test} ended with status 0, but did not say that it succeeded")
    if result is not IgtResult.PASS:
        lines = [*report.lines, *(finding.text.splitlines()[0] for finding in findings)]
        pytest.fail("\n".join([why, *lines]), pytrace=False)
    return result
