# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiler heaps that run out of memory: they grow as far as they may, then the exception handler runs; a group whose heap
cannot be found dies alone; and a group that leaves its slot meanwhile asks again.

The emulated GPU's tiler is told to take chunks. If it did not, no handler would run and no group die: these tests fail.
"""

from __future__ import annotations

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session
from panthorlab.run.trouble import RESIDUAL

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps")]
HUNGRY = "tiler-chunk,times=0"


@pytest.mark.parametrize("mode", ["grow", "handler", "in-flight"])
def test_heap_has_what_it_may_have(session: Session, mode: str) -> None:
    with session.misbehaving(HUNGRY):
        session.check("gpu-heap", "--mode", mode)


@pytest.mark.parametrize("mode", ["no-pool", "wrong"])
def test_group_without_its_heap_dies_alone(session: Session, mode: str) -> None:
    with session.misbehaving(HUNGRY), session.findings_expected({"heap-error"}) as found:
        session.check("gpu-heap", "--mode", mode)
    assert {finding.kind for finding in found()} == {"heap-error"}


def test_heaps_come_and_go(session: Session) -> None:
    with session.misbehaving(HUNGRY):
        session.check("gpu-heap", "--mode", "calls")


def test_heap_for_which_there_is_too_little_memory(session: Session) -> None:
    """It has all the chunks that were asked for, or there is none."""
    if not session.board.injections:
        pytest.skip("on a real board, others would go without memory meanwhile")
    chunks = int(session.check("gpu-heap", "--mode", "scarce").info["refused"])
    if not chunks:
        raise EvidenceError("no heap was refused for want of memory when one of a single chunk could be had")


def test_groups_are_evicted_while_they_wait(session: Session) -> None:
    late = "event-late,event=tiler-oom,ms=12,times=0"
    with session.misbehaving(HUNGRY, late), session.findings_expected(RESIDUAL | {"job-timeout"}) as found:
        early, before = 0, session.struck("event-late")
        for _ in range(2):  # few tiler jobs at a time: on a busy host many would last the driver's 5 s
            early += int(session.check("gpu-heap", "--mode", "evict").info["given_up_early"])
        assert session.struck("event-late") > before, "nothing was told late"
    timeouts = sum(finding.kind == "job-timeout" for finding in found())
    assert bool(timeouts) == bool(early), f"{timeouts} jobs were given up, in {early} tries before their time"


def test_last_slot(session: Session) -> None:
    slots = int(session.job("info").info["csg_slots"])
    with session.misbehaving(f"{HUNGRY},slot={slots - 1}"), session.findings_expected(RESIDUAL):
        before = session.struck("tiler-chunk")
        session.check("gpu-heap", "--mode", "last-slot")
        assert session.struck("tiler-chunk") > before, "no tiler on the last slot has taken a chunk"
