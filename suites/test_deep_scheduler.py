# SPDX-License-Identifier: GPL-2.0-or-later
"""Scheduling that takes long to see: the job time-out, races of calls and readers."""

from __future__ import annotations

from errno import ETIMEDOUT

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session
from panthorlab.run.trouble import kernel_version

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.deep]


def test_jobs_that_end_in_time_are_not_timed_out(session: Session) -> None:
    """A second try shows whether it was the time-out that kernels before 7.0 lose now and then (docs/findings/0027)."""
    if kernel_version(session) < (7, 0):
        with session.findings_allowed({"job-timeout"}) as found:
            if session.program("gpu-sched", "--mode", "long", timeout=60).report.ok and not found():
                return
        session.note("a job was given up before its time (docs/findings/0027): tried once more")
    session.check("gpu-sched", "--mode", "long", timeout=60)


def test_work_that_stands_still_is_given_up(session: Session) -> None:
    """Sooner than the job as a whole would be."""
    with session.findings_expected({"job-timeout"}) as found:
        with session.misbehaving("work-late,endpoint=compute,ms=4000"):
            before = session.struck("work-late")
            session.job("no-progress", timeout=60)
            assert session.struck("work-late") > before, "no work was started"
        session.job("store")
    assert found(), "the driver says nothing of it"


def test_job_whose_wait_nobody_ends_is_given_up(session: Session) -> None:
    """The CPU writes what a stream waits for, and nobody tells the driver. On its slot the stream sees it; once the GPU
    sleeps, nothing but the driver's time-out may end the job, or who waits for its fence waits for ever."""
    with session.findings_expected({"job-timeout"}) as found:
        info = session.job("late-write", timeout=90).info
        told = "job-timeout" in {finding.kind for finding in found()}
    if session.board.injections:  # what a real GPU does on its slot, is a question to it
        assert info["awake"] == "1", f"a stream on its slot does not see what was written: {info['awake']}"
    assert told == (-ETIMEDOUT in (int(info["awake"]), int(info["asleep"]))), f"{info}, and the kernel told: {told}"


def test_groups_come_and_go_by_guessed_handles(session: Session) -> None:
    """Shows a use after free on a kernel with KASAN; a reference too few also on others."""
    session.check("gpu-sched", "--mode", "handles", timeout=60)
    session.job("store")


def test_names_are_read_while_groups_come_and_go(session: Session) -> None:
    session.check("gpu-sched", "--mode", "walk", timeout=60)


NAMES_ARE_SAFE = (6, 17)
"""From here on the kernel keeps who reads a fence's names from what they are of when that may be gone."""


def test_fence_has_its_names_when_its_group_is_gone(session: Session) -> None:
    """While the group goes, which takes it 20 ms here, and afterwards. KASAN sees more of it than the program."""
    if kernel_version(session) < NAMES_ARE_SAFE:
        pytest.skip("docs/findings/0070: kernels before 6.17 read the name of a fence out of a queue that is freed")
    with session.misbehaving("state-late,state=terminate,ms=20,times=0"):
        before = session.struck("state-late")
        info = session.check("gpu-sched", "--mode", "names", timeout=60).info
        assert session.struck("state-late") > before, "no group was to be terminated"
    if "0" in (info["between0"], info["between1"]):
        raise EvidenceError(f"no name was read between the end of a group and that of its job: {info}")
