# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab run` shows on the terminal of tests that failed: what tells, each once, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import BoardUp, BootEnd, BootStart, Event, Iteration, RunEnd, Tested
from panthorlab.run.summary import LINES, summary

from .recorded import typed

SPLAT = """the kernel log has findings this test did not expect:
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000
Mem abort info:
  ESR = 0x0000000096000006
user pgtable: 4k pages, 48-bit VAs, pgdp=0000000041d5f000
[0000000000000000] pgd=0800000041ced403, p4d=0800000041ced403
CPU: 0 UID: 0 PID: 373 Comm: kworker/u4:12 Tainted: G        W  O        6.18.15 #1 PREEMPT
pstate: 60000005 (nZCv daif -PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : drm_sched_run_job_work+0x40/0x36c
x29: ffff800082823d50 x28: 0000000000000000 x27: 0000000000000000
Call trace:
""" + "\n".join(f" caller{number}+0x4/0x8" for number in range(20))


def run_of(tests: Sequence[Event], time: str = "exact") -> list[Event]:
    events: list[Event] = typed([{"event": "run-start", "options": {"expect": "fix"}}])
    for boot in ("kernel1.1", "kernel2.1"):
        events.append(BootStart(boot=boot, arm="kernel", slot=boot[:7]))
        events.append(BoardUp(boot=boot, arm="kernel", name="b", facts={"time": time}))
        events += tests if boot == "kernel1.1" else ()
        end = BootEnd(
            boot=boot, arm="kernel", slot=boot[:7], complete=True, outcome=Outcome.PASS, blame=None, booted=True
        )
        events.append(end)
    return [*events, RunEnd()]


def failed(name: str, message: str, boot: str = "kernel1.1", last: str = "kernel1.1.4-1") -> Tested:
    suite, _, test = name.partition("::")
    return Tested(
        boot=boot, arm="kernel", suite=suite, test=test, outcome=Outcome.FAIL, blame=Blame.KERNEL, message=message,
        seconds=0.1, last=last,
    )  # fmt: skip


def shown(events: Sequence[Event], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert summary(Path("runs/x y"), events, as_json=False) == 1
    return capsys.readouterr().out.splitlines()


def test_of_a_splat_the_place_is_shown_and_not_the_registers(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(run_of([failed("s::t", SPLAT)]), capsys)
    begin = next(at for at, line in enumerate(lines) if line.startswith("FAILED s::t: the kernel log"))
    told = lines[begin : begin + LINES + 1]
    assert "pc : drm_sched_run_job_work+0x40/0x36c" in told
    assert " caller0+0x4/0x8" in told
    assert not [line for line in told if line.startswith(("x29", "Mem abort", "  ESR", "pstate", "[0000"))]
    assert told[-1].strip().startswith("… 19 more lines")


def test_what_several_boots_say_is_shown_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    twice = [failed("s::t", "no job ends\nnot ok 1"), failed("s::t", "no job ends\nnot ok 2", boot="kernel2.1")]
    lines = [line for line in shown(run_of([*twice, failed("s::u", "other")]), capsys) if line.startswith("FAILED")]
    assert lines == ["FAILED s::t: no job ends (2 times)", "FAILED s::u: other"]


def test_the_first_that_failed_is_repeated_by_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    tests = [failed("s::none", "x", last=""), failed("s::t[a b]", "x")]
    assert "again: panthorlab replay 'runs/x y:s::t[a b]'" in shown(run_of(tests), capsys)
    assert not [line for line in shown(run_of(tests, "host"), capsys) if line.startswith("again:")]


def test_a_fault_that_is_only_watched_is_not_what_to_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    watched = typed([{"event": "iteration", "boot": "kernel1.1", "id": "kernel1.1.1-1", "role": "watch",
                      "outcome": "FAIL", "blame": "kernel"}])  # fmt: skip
    assert isinstance(watched[0], Iteration)
    assert "again: panthorlab replay 'runs/x y:s::t'" in shown(run_of([*watched, failed("s::t", "x")]), capsys)
