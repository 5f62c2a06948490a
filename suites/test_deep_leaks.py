# SPDX-License-Identifier: GPL-2.0-or-later
"""Longer loops: objects that go while a heap grows, clients that come and go under who reads about them, more rounds.

Faults of the GPU are allowed where memory goes under a group that uses it; what must not come is an oops, a hang, a
warning or anything left behind, and each loop must have struck in time.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import KILLED, RESIDUAL

pytestmark = [pytest.mark.driver("vm", "groups", "heaps"), pytest.mark.deep, pytest.mark.usefixtures("nothing_left")]
HUNGRY = "tiler-chunk,times=0"
GONE = {"mmu-fault", "cs-fault", "cs-fatal", "heap-error"}
LATE_EVENT = ("event-late,event=tiler-oom,ms=3,times=0",)
LATE_INTERRUPT = ("irq-late,line=job,ms=3,times=0",)


@pytest.mark.parametrize("rules", [(), LATE_EVENT, LATE_INTERRUPT], ids=["punctual", "late-event", "late-interrupt"])
@pytest.mark.parametrize("mode", ["race-group", "race-heap", "race-vm", "race-kill"])
def test_object_goes_while_its_heap_grows(session: Session, mode: str, rules: tuple[str, ...]) -> None:
    names = [rule.partition(",")[0] for rule in (HUNGRY, *rules)]
    with session.misbehaving(HUNGRY, *rules), session.findings_expected(GONE):
        before = {name: session.struck(name) for name in names}
        session.check("gpu-heap", "--mode", mode, timeout=120)
        assert all(session.struck(name) > before[name] for name in names), f"no occasion for {names}"


def test_many_groups_are_evicted_while_they_wait(session: Session) -> None:
    for milliseconds in (5, 12, 20):
        late = f"event-late,event=tiler-oom,ms={milliseconds},times=0"
        with session.misbehaving(HUNGRY, late), session.findings_expected(RESIDUAL | {"job-timeout"}):
            before = session.struck("event-late")
            for _ in range(6):  # which knows jobs that are given up before their time (docs/findings/0027)
                session.check("gpu-heap", "--mode", "evict", timeout=60)
            assert session.struck("event-late") > before, "nothing was told late"


def test_files_of_debugfs_and_proc_are_read_meanwhile(session: Session) -> None:
    with session.misbehaving(HUNGRY), session.findings_expected(RESIDUAL):
        session.check("gpu-heap", "--mode", "walk", "--count", "80", timeout=120)


def test_full_heap_without_handler_times_out(session: Session) -> None:
    with session.misbehaving(HUNGRY), session.findings_expected({"job-timeout"}) as found:
        session.check("gpu-heap", "--mode", "exhausted", timeout=60)
    assert "job-timeout" in {finding.kind for finding in found()}


def test_many_rounds_lose_no_memory(session: Session) -> None:
    with session.misbehaving(HUNGRY), session.findings_expected({"heap-error", *KILLED}):
        session.check("gpu-leak", "--factor", "4", timeout=300)


def test_many_rounds_of_binds(session: Session) -> None:
    for seed in ("2", "3"):
        session.check("gpu-vm", "--mode", "random", "--seed", seed, "--count", "400", timeout=120)
    session.check("gpu-vm", "--mode", "spaces", "--count", "150", timeout=120)
    session.check("gpu-vm", "--mode", "zero", "--count", "40", timeout=120)
