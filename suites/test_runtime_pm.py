# SPDX-License-Identifier: GPL-2.0-or-later
"""Runtime suspend and resume: jobs, and the state of groups that wait, survive them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, awake, fall_asleep, kernel_version, rebind

pytestmark = pytest.mark.driver("vm", "groups", "power")


SLOTS_RESET = (6, 19)
"""Since then queues of a group that neither suspends nor terminates are told to stop before its slot is used again."""
SOON_US = 90_000
"""What falling asleep takes at most of a GPU that answers at once: the driver waits 50 ms for more work, and for each
answer that it overlooks 100 ms or more."""


def test_job_after_each_suspend(session: Session) -> None:
    """In exact time, where no host is busy: without waiting for anything until a time-out is over."""
    info = session.job("suspend-loop", "--count", "10", timeout=60).info
    times = {name: int(value) for name, value in info.items() if name.endswith("_us")}
    assert len(times) == 20, "not every time was told"
    if session.exact_time:
        late = {name: us for name, us in times.items() if us > SOON_US}
        assert not late, f"the GPU is slow to wake up or to fall asleep: {late}"


def test_latest_flush_is_read_whether_the_gpu_sleeps_or_not(session: Session) -> None:
    """And on the way to sleep, when the register still answers: what is mapped then stays, and soon has no clock. An
    emulated GPU lingers there."""
    linger = session.misbehaving("state-late,state=suspend,ms=5,times=0") if session.board.injections else nullcontext()
    with linger:
        reads = int(session.job("flush-id", timeout=30).info["on_the_way"])
    if session.board.injections and not reads:
        raise EvidenceError("nothing was read while the GPU fell asleep")


def test_blocked_stream_survives_suspend(session: Session) -> None:
    session.job("resume-state", timeout=30)


@pytest.mark.driver("vm", "groups", "power", "recovery")
def test_stream_that_nobody_wakes_is_given_up(session: Session) -> None:
    """While the GPU sleeps over it: its group, which has no slot then, is lost."""
    with session.findings_expected({"job-timeout"}) as found:
        session.check("gpu-job", "--mode", "given-up", timeout=60)
    assert found(), "the driver says nothing of it"


def test_streams_wait_for_each_other(session: Session) -> None:
    session.job("sync-wait", timeout=30)


@pytest.mark.parametrize("line", ["job", "gpu"])
def test_interrupt_that_comes_during_sleep(session: Session, line: str) -> None:
    """Another one follows each interrupt, when the GPU sleeps: no register may be used for it, as there is no clock."""
    with session.misbehaving(f"irq-twice,line={line},ms=200,times=0"):
        before = session.struck("irq-twice")
        session.job("asleep")
        assert session.struck("irq-twice") > before, "no interrupt was sent twice"


def test_firmware_looks_as_soon_as_its_doorbell_rings(session: Session) -> None:
    """What it is asked for must be written by then: groups started and suspended, and the halt before each sleep."""
    with session.misbehaving("bell-at-once,times=0"):
        before = session.struck("bell-at-once")
        session.job("suspend-loop", "--count", "2", timeout=60)
        assert session.struck("bell-at-once") > before, "no doorbell was rung"


@pytest.mark.parametrize("states", [["suspend"], ["suspend", "terminate"]], ids="+".join)
def test_group_that_cannot_be_suspended_is_lost(session: Session, states: list[str]) -> None:
    """Nor, perhaps, terminated. Another group, of fewer queues, works in its slot."""
    rules = [f"state-lost,state={state}" for state in states]
    known = "terminate" in states and session.driver.name == "panthor" and kernel_version(session) < SLOTS_RESET
    kinds = {*CONSEQUENCES, "mmu-fault"} if known else CONSEQUENCES
    with session.findings_expected(set(kinds)) as found, session.misbehaving(*rules):
        before = session.struck("state-lost")
        report = session.job("not-suspended", timeout=60, must_pass=not known).report
        assert session.struck("state-lost") >= before + len(rules), "no group was to leave its slot"
    if known:
        rebind(session)  # what the lost group has left behind may strike later
        if any(finding.kind == "mmu-fault" for finding in found()):
            pytest.xfail("docs/findings/0074: streams of the lost group start with the one that gets its slot")
    assert report.ok, "\n".join(report.lines)


def test_reset_that_is_asked_for_on_the_way_to_sleep(session: Session) -> None:
    """The firmware has halted, but what it leaves is no good; and an MMU command that does not end makes the driver
    want a reset. The firmware must be loaded anew when the GPU wakes up, and not be tried as it is first. Kernels
    before 6.14 do that."""
    rules = ("halt-spoilt", "as-stuck,space=firmware,ms=150")
    names = [rule.partition(",")[0] for rule in rules]
    with session.findings_expected({"warning", *CONSEQUENCES}) as found:
        with awake(session):
            session.job("store")
            with session.misbehaving(*rules):
                before = [session.struck(name) for name in names]
                fall_asleep(session)
                after = [session.struck(name) for name in names]
        assert all(new > old for new, old in zip(after, before, strict=True)), f"no occasion for {rules}: {after}"
        session.job("store")
    wrong = [finding.text for finding in found() if finding.kind == "firmware-error"]
    if session.driver.name != "panthor" or kernel_version(session) >= (6, 14):
        assert not wrong, "\n".join(wrong)


def test_firmware_does_not_boot_when_the_gpu_wakes_up(session: Session) -> None:
    """Then jobs fail, and soon: the driver must not take the GPU for one that is awake. It works again with a driver
    that knows nothing of all that; 6.12 uses registers of a GPU without a clock on the way (docs/findings/0010)."""
    try:
        with session.findings_expected({*CONSEQUENCES, "warning"}) as found:
            with session.misbehaving("boot-lost,times=2"):
                before = session.struck("boot-lost")
                report = session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False).report
                assert session.struck("boot-lost") > before, "the firmware had no occasion to boot"
            kinds = {finding.kind.value for finding in found()}
        hangs = "job-timeout" in kinds or any("Timer expired" in line for line in report.lines)
        assert not hangs, "a job hangs on a GPU that did not wake up"
    finally:
        with session.misuses_expected(), session.findings_expected({"warning", "power-error", "firmware-error"}):
            session.check("gpu-bind", "--mode", "replug", timeout=60)
