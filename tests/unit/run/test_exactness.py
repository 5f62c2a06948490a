# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab doctor --exact` makes of two runs of one seed."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab.board.exactrecord import ACCESSES, MESSAGES
from panthorlab.cli import main as cli
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.exactness import ComparedBoot, ComparedSeed, RanBoot, busy_host, compare, exit_status, told
from panthorlab.run.record import BootEnd

GOOD = BootEnd(complete=True, outcome=Outcome.PASS, blame=None, booted=True, digest="ab" * 32, instructions=1000)
CRASHED = BootEnd(complete=False, outcome=Outcome.FAIL, blame=Blame.KERNEL, booted=True, reason="kernel panic")
LINES = ["R 10 0 a8670000\n", "T 20 Mcu._serve\n", "I 20 job\n", "B 20 1234\n", "W 30 24 1\n"]


def boot(folder: Path, name: str = "run1.1", end: BootEnd = GOOD, lines: list[str] | None = None) -> RanBoot:
    log_dir = folder / name
    log_dir.mkdir(parents=True)
    (log_dir / ACCESSES).write_text("".join(LINES if lines is None else lines))
    (log_dir / MESSAGES).write_text("> 5 1 00 b'x'\n")
    (log_dir / "console.log").write_bytes(b"one\ntwo\n")
    return RanBoot(name, log_dir, replace(end, boot=name))


def one(first: RanBoot, second: RanBoot) -> ComparedBoot:
    (compared,) = compare([first], [second])
    return compared


def test_the_same_twice(tmp_path: Path) -> None:
    compared = one(boot(tmp_path / "a"), boot(tmp_path / "b"))
    assert (compared.same, compared.events, exit_status([compared])) == (True, 6, 0)
    assert "same, 1000 instructions, 6 events, digest abab" in next(told(ComparedSeed(1, (compared,), (1.0, 2.0))))


def test_the_first_event_that_differs_is_told_with_those_before(tmp_path: Path) -> None:
    late = [*LINES[:2], "I 22 job\n", "B 22 1234\n", LINES[4]]
    compared = one(boot(tmp_path / "a"), boot(tmp_path / "b", lines=late))
    assert exit_status([compared]) == 4
    head, *before, alone, busy = told(ComparedSeed(7, (compared,), (1.0, 2.0)))
    assert head == "seed 7    run1.1: DIFFERS first at instruction 20: interrupt"
    assert before[-1].endswith("timer of the GPU model at instruction 20: Mcu._serve")
    assert alone.endswith("interrupt at instruction 20: job")
    assert busy.endswith("interrupt at instruction 22: job")


def test_equal_events_and_another_digest_are_the_console(tmp_path: Path) -> None:
    other = boot(tmp_path / "b", end=replace(GOOD, digest="cd" * 32))
    (other.log_dir / "console.log").write_bytes(b"one\n2\n")
    compared = one(boot(tmp_path / "a"), other)
    assert compared.otherwise == "the console: line 2, 'two'  |  '2'"
    assert exit_status([compared]) == 4


def test_a_crash_that_comes_back_is_the_same(tmp_path: Path) -> None:
    compared = one(boot(tmp_path / "a", end=CRASHED), boot(tmp_path / "b", end=CRASHED))
    assert (compared.same, compared.ended) == (True, "kernel panic")
    assert "it ended early both times (kernel panic)" in next(told(ComparedSeed(1, (compared,), (1.0, 2.0))))


@pytest.mark.parametrize("end", [GOOD, replace(CRASHED, outcome=Outcome.ERROR, blame=Blame.LAB)])
def test_a_crash_that_does_not_come_back_differs(end: BootEnd, tmp_path: Path) -> None:
    compared = one(boot(tmp_path / "a", end=CRASHED), boot(tmp_path / "b", end=end))
    assert "kernel panic" in compared.otherwise
    assert exit_status([compared]) == 4


def test_what_cannot_be_compared_is_no_pass(tmp_path: Path) -> None:
    torn = one(boot(tmp_path / "a"), boot(tmp_path / "b", lines=["R 10 0 a867"[:1]]))
    assert "cannot be read" in torn.unknown
    silent = replace(GOOD, digest=None)
    unknown = one(boot(tmp_path / "e", end=silent), boot(tmp_path / "f", end=silent))
    assert (unknown.same, exit_status([unknown])) == (False, 3)
    more = list(compare([boot(tmp_path / "c")], [boot(tmp_path / "d"), boot(tmp_path / "d", "run2.1", CRASHED)]))
    assert [found.same for found in more] == [True, False]
    assert "kernel panic" in more[1].unknown
    assert exit_status([torn]) == exit_status(more) == exit_status([]) == 3
    assert exit_status([*more, replace(torn, otherwise="x")]) == 4
    assert list(told(ComparedSeed(1, (), (0.0, 0.0)))) == ["seed 1    unknown: nothing was booted"]


def test_the_busy_host_ends() -> None:
    with busy_host():
        deadline = time.monotonic() + 60  # until each is the program that it is to be
        while len(_loops()) < len(os.sched_getaffinity(0)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not _loops()


def _loops() -> list[str]:
    return [pid for pid in _children() if b"while True: pass" in _command(pid)]


def _children() -> list[str]:
    return [pid for thread in Path("/proc/self/task").iterdir() for pid in (thread / "children").read_text().split()]


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["--exact"], "--kernel K"), (["--kernel", "k"], "`--exact` boots"), (["--suite", "heap"], "`--exact` boots")],
)
def test_options_that_do_not_go_together(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["doctor", *words]) == 2
    assert hint in capsys.readouterr().err
