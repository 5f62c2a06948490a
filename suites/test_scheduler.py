# SPDX-License-Identifier: GPL-2.0-or-later
"""How groups share the GPU and in which order jobs end, judged by the order of things and by comparing groups.

A kernel older than a fix of the scheduler fails here: that is the result, and no expectation is made for versions.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("csif", "vm", "groups")
FAIR = 60
TICKS_US = 320_000
"""For sixteen interrupts of the driver's ticks, of which each makes one or more: one in 10 ms, rounded up to a multiple
of the kernel's own 4 ms."""
FAULT = {"mmu-fault", "cs-fault", "cs-fatal"}
# What a driver may say when an address space cannot be set up: 7.3 also warns (drm_WARN_ON).
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "warning"}


def run(session: Session, mode: str, timeout: float = 40.0) -> dict[str, str]:
    """`gpu-sched --mode MODE`; skips the test where the kernel does not have what it is about."""
    result = session.check("gpu-sched", "--mode", mode, timeout=timeout)
    if skipped := [line for line in result.report.lines if "# SKIP" in line]:
        pytest.skip(skipped[0].partition("# SKIP")[2].strip())
    return result.info


@pytest.mark.parametrize("mode", ["fair", "spaces"])
def test_equal_groups_share_equally(session: Session, mode: str) -> None:
    """More groups than slots, and more VMs than address spaces. The program looks until the shares are within 60 %, for
    3 seconds at most; that they do not get there may be the fault of a busy host, but not in exact time."""
    least = int(run(session, mode)["least_share_percent"])
    if session.exact_time:
        assert least >= FAIR, f"the least of equal groups got {least} % of what the most got"


@pytest.mark.parametrize("mode", ["priority", "wake"])
def test_who_comes_next(session: Session, mode: str) -> None:
    run(session, mode)


def test_realtime_does_not_wait_for_the_tick(session: Session) -> None:
    """While others take turns; a group of high priority waits for it. A busy host may make both late."""
    info = run(session, "realtime")
    if session.exact_time:
        realtime, high = int(info["realtime_us"]), int(info["high_us"])
        assert 2 * realtime < high, f"it had to wait for {realtime} us, one of high priority for {high} us"


def test_ticks_while_there_is_something_to_rotate(session: Session) -> None:
    """And as often as it must: a busy host may make them late."""
    info = run(session, "tick")
    times = [int(value) for name, value in info.items() if name.startswith("ticks")]
    assert len(times) == 2, f"not every time was told: {info}"
    if session.exact_time:
        assert max(times) < TICKS_US, f"{times} us for 16 ticks"


def test_destroyed_group_leaves_its_slot_before_its_vm_goes(session: Session) -> None:
    """Also with several clients a fixed kernel may fault now and then (docs/gpu.md): one fault is not the bug."""
    with session.findings_expected({"mmu-fault"}) as found:
        info = run(session, "evict")
    late = [finding for finding in found() if finding.va and int(finding.va, 16) == int(info["heap_context"], 16)]
    other = [finding.text for finding in found() if finding not in late]
    assert not other, "\n".join(other)
    assert len(late) <= int(info["evictions"]) // 4, f"{len(late)} of {info['evictions']} groups left too late"


def test_group_that_waits_for_its_own_work_comes_back(session: Session) -> None:
    with session.misbehaving("work-late,endpoint=compute,ms=300"):
        before = session.struck("work-late")
        run(session, "deferred")
        assert session.struck("work-late") > before, "no work was started"


def test_who_shares_a_buffer_need_not_wait(session: Session) -> None:
    run(session, "shared")


@pytest.mark.parametrize("mode", ["sync-only", "blocked", "places", "ring", "timeline"])
def test_jobs_end_in_order(session: Session, mode: str) -> None:
    run(session, mode)


def test_no_fence_behind_a_fault_says_success(session: Session) -> None:
    with session.findings_expected(FAULT) as found:
        run(session, "errors")
    assert "cs-fatal" in {finding.kind for finding in found()}, "the fault did not come"


def test_queued_jobs_end_with_their_group(session: Session) -> None:
    run(session, "destroy")


@pytest.mark.parametrize("mode", ["close", "vm-destroy"])
def test_queued_jobs_end_with_their_vm(session: Session, mode: str) -> None:
    """A group that runs when its VM goes may fault on kernels that are well (docs/gpu.md)."""
    with session.findings_expected(FAULT):
        run(session, mode)
