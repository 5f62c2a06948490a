# SPDX-License-Identifier: GPL-2.0-or-later
"""A job's fault stays in its process: the right error there, no reset, and the next process's job works."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import kernel_version

pytestmark = pytest.mark.driver("vm", "groups")
RESETS = {"gpu-reset", "firmware-error", "power-error", "oops", "panic", "hung-task"}

TOLD_LATE = "event-late,event=sync-update,ms=20,times=0"
INHERITED = "cs-fault,exception=0x4b"
"""Of a kind that also kernels before 6.19 hold against a job."""
DATA_INVALID = "cs-fault,exception=0x49"
ANY_KIND_SINCE = (6, 19)
AT_ONCE = 8
"""A fault for each queue; one may go to a group that is on the GPU from before."""


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("bad-fetch", {"mmu-fault", "cs-fatal"}), ("bad-store", {"mmu-fault"}), ("bad-instr", {"cs-fatal"})],
)
def test_fault_stays_in_its_process(session: Session, mode: str, expected: set[str]) -> None:
    with session.findings_expected(expected | {"cs-fault", "cs-fatal"}) as found:
        session.job(mode)
        session.job("store")
    assert expected <= {finding.kind for finding in found()}, f"the kernel did not report {expected}"
    assert not RESETS & {finding.kind for finding in found()}


@pytest.mark.parametrize("nth", [(1,), (3,), (2, 4)], ids=["first", "behind-others", "two-in-a-row"])
def test_fault_stays_in_its_job(session: Session, nth: tuple[int, ...]) -> None:
    """A queue lives on after it. The job before has ended, but the driver has not been told yet: it went well."""
    row_with_faults(session, INHERITED, nth)


def test_fault_of_another_kind_is_held_against_its_job(session: Session) -> None:
    if kernel_version(session) < ANY_KIND_SINCE:
        pytest.skip("this driver holds inherited faults alone against a job")
    info = row_with_faults(session, DATA_INVALID, (2,))
    assert info["failed"] == "1", f"{info['failed']} jobs are said to have failed"


def test_faults_of_all_queues_at_once_are_heard(session: Session) -> None:
    """One interrupt tells of all of them: it is held back until each queue has broken off."""
    with (
        session.findings_expected({"cs-fault"}) as found,
        session.misbehaving("irq-late,line=job,ms=5,times=0", f"{INHERITED},times={AT_ONCE}"),
    ):
        before = {name: session.struck(name) for name in ("cs-fault", "irq-late")}
        info = session.check("gpu-job", "--mode", "together", timeout=60).info
        assert all(session.struck(name) > count for name, count in before.items()), f"no occasion: {before}"
    assert int(info["broken"]) > 1, f"{info['broken']} queues broke off"
    assert len(found()) == AT_ONCE, f"the kernel told {len(found())} faults of {AT_ONCE}"


def row_with_faults(session: Session, rule: str, nth: tuple[int, ...]) -> Mapping[str, str]:
    with (
        session.findings_expected({"cs-fault"}) as found,
        session.misbehaving(TOLD_LATE, *(f"{rule},nth={strike}" for strike in nth)),
    ):
        before = {name: session.struck(name) for name in ("cs-fault", "event-late")}
        info = session.check("gpu-job", "--mode", "row", timeout=60).info
        struck = {name: session.struck(name) - count for name, count in before.items()}
    assert struck["cs-fault"] == len(nth), "not every fault came"
    assert struck["event-late"], "nothing was told late"
    assert int(info["broken"]) == len(nth), f"{info['broken']} jobs broke off at {len(nth)} faults"
    assert len(found()) == len(nth), f"the kernel told {len(found())} faults of {len(nth)}"
    return info
