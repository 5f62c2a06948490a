# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs on kernels without a bug: what the scoreboard takes of them, and what it does not take for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.bug_published import Alarm, Published, Whole, read, renew, write
from benchmarks.bug_rows import load
from benchmarks.bug_scores import Scores, markdown
from benchmarks.bug_whole import by_kernel, read_whole
from panthorlab.errors import UsageError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run import record
from panthorlab.run.record import ArmKernel, CoverageEvent, Event, RunEnd, RunStart
from panthorlab.run.record.log import EventLog
from panthorlab.run.record.settings import Settings
from panthorlab.run.record.versions import VERSION

START = RunStart(options=Settings(kernel="abc"), suites=("probe",), version=VERSION)
KERNEL = ArmKernel(key="abc", build_id="b", release="7.3.4", title="7.3.4", fragments=(), arm="kernel")
RAN = CoverageEvent(arm="kernel", functions=3, function_total=4, lines=30, line_total=60, suites={}, patch=None)


def _tested(outcome: Outcome, blame: Blame | None = None) -> record.Tested:
    return record.Tested(
        boot="kernel1.1", suite="uapi", test="a", outcome=outcome, blame=blame, message="why", seconds=1.0
    )


def _record(directory: Path, events: Iterable[Event]) -> Path:
    directory.mkdir()
    with EventLog(directory) as log:
        for event in events:
            log.append(event)
    return directory


def test_a_run_tells_its_kernel_its_faults_and_how_much_of_the_driver_ran(tmp_path: Path) -> None:
    fault = _tested(Outcome.FAIL, Blame.KERNEL)
    (run,) = read_whole([_record(tmp_path / "r", [START, KERNEL, fault, fault, RAN, RunEnd()])]).values()
    assert (run.kernel, run.tests, run.functions, run.lines) == ("7.3.4", 2, (3, 4), (30, 60))
    assert run.alarms == (Alarm(by="uapi::a", text="why", times=2),)
    (quiet,) = read_whole([_record(tmp_path / "q", [START, KERNEL, _tested(Outcome.PASS), RunEnd()])]).values()
    assert (quiet.alarms, quiet.lines) == ((), None)


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([START, KERNEL, _tested(Outcome.PASS)], "not a whole run"),
        ([replace(START, options=Settings(suite=("uapi",))), KERNEL, RunEnd()], "not a whole run"),
        ([replace(START, command=("/bin/true",)), KERNEL, RunEnd()], "not a whole run"),
        ([START, KERNEL, replace(KERNEL, arm="after"), RunEnd()], "not a whole run"),
        ([START, replace(KERNEL, patches=("x.patch",)), RunEnd()], "has patches"),
        ([START, KERNEL, _tested(Outcome.ERROR, Blame.LAB), RunEnd()], "the lab failed"),
    ],
)
def test_what_says_nothing_of_a_kernel_without_a_bug_is_refused(tmp_path: Path, events: list[Event], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_whole([_record(tmp_path / "r", events)])


def test_the_page_has_them_by_kernel_and_keeps_them(tmp_path: Path) -> None:
    first = Whole(kernel="7.3.4", date="2026-01-01", tests=2, iterations=5, seconds=90.0, lines=(20, 60))
    last = first.model_copy(
        update={"date": "2026-01-02", "lines": (30, 60), "alarms": (Alarm(by="a|b", text="why", times=2),)}
    )
    published = renew(Published(whole={"1": first}), {}, [], needs={}, whole={"2": last})
    assert by_kernel(published.whole) == {"7.3.4": [first, last]}
    write(tmp_path / "page.json", published)
    assert read(tmp_path / "page.json") == published
    page = markdown(Scores(load(), published, {}, {}, "today", "a machine"))
    assert "| 7.3.4 | 2 | 3.0 | 4 | 10 | 2 × a\\|b: why |  | 30 of 60 (50 %) | 2026-01-01 to 2026-01-02 |" in page
    assert "| 7.3.4: 30 of 60 (50 %) |" in page


def test_two_that_began_at_the_same_time_are_two(tmp_path: Path) -> None:
    events = [KERNEL, _tested(Outcome.PASS), RunEnd()]
    both = [
        _record(tmp_path / str(seed), [replace(START, options=Settings(kernel="abc", seed=seed), time=1.0), *events])
        for seed in (1, 2)
    ]
    assert len(read_whole(both)) == 2
