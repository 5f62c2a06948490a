# SPDX-License-Identifier: GPL-2.0-or-later
"""Each way in which a GPU can fail or be late: the driver bears it or says so, and the GPU works afterwards."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, Trouble, provoke, rebind

pytestmark = [pytest.mark.driver("vm", "groups", "power", "recovery"), pytest.mark.deep]

FIRMWARE = frozenset({"firmware-error"})
POWER = frozenset({"power-error"})
WARNING = frozenset({"warning"})

BORNE = (
    ("flush-late,ms=60,times=0",),
    ("boot-late,ms=300,times=0",),
    ("reset-late,ms=60,times=0",),
    ("power-late,core=l2,ms=10,times=0",),
    ("as-stuck,ms=50",),
    ("state-late,state=suspend,ms=50,times=0",),
    ("state-late,state=start,ms=50,times=0",),
    ("state-early,state=start,ms=5,times=0",),
    ("state-early,state=resume,ms=5,times=0",),
    ("event-false,event=idle,times=0",),
    ("event-false,event=sync-update,times=0",),
    ("irq-lost,line=gpu",),
    ("irq-late,line=job,ms=50,times=0",),
    ("irq-late,line=gpu,ms=50,times=0",),
    ("irq-twice,line=job,times=0",),
    ("irq-twice,line=gpu,times=0",),
)
TOLD = (
    Trouble(("flush-lost,times=3",), POWER, also=WARNING),
    Trouble(("stop-lost",), FIRMWARE),
    Trouble(("state-lost,state=start",), FIRMWARE),
    Trouble(("mcu-hang",), FIRMWARE),
    Trouble(("gpu-fault",), frozenset({"gpu-fault"})),
    Trouble(("event-false,event=progress-timer",), frozenset({"job-timeout"})),
)


@pytest.mark.parametrize("rules", BORNE, ids="+".join)
def test_late_is_borne(session: Session, rules: tuple[str, ...]) -> None:
    provoke(session, Trouble(rules))


@pytest.mark.parametrize("trouble", TOLD, ids=str)
def test_failure_is_recovered_from(session: Session, trouble: Trouble) -> None:
    provoke(session, trouble)


def test_heap_context_is_written_behind_the_acknowledgement(session: Session) -> None:
    """No driver can know: by then the heap may be unmapped, and the write faults, or its address space may be another
    VM's. It does no harm to who comes next."""
    try:
        with session.findings_allowed({"mmu-fault"}), session.misbehaving("state-early,ms=5,times=0"):
            before = session.struck("state-early")
            for _ in range(5):
                session.program("heap-exit", "--mode", "exit")
                session.job("store", timeout=60)
            assert session.struck("state-early") > before, "no group with a heap left its slot"
        session.job("store", timeout=60)
    finally:
        rebind(session)


def test_firmware_does_not_halt(session: Session) -> None:
    """7.x waits for it in a loop that counts register accesses: with emulated ones that is 20 s instead of one."""
    if session.driver_contains(b"Timed out waiting for MCU to halt"):
        pytest.skip("the driver waits too long on an emulated GPU")
    provoke(session, Trouble(("halt-lost",), FIRMWARE))


def test_reset_that_never_ends(session: Session) -> None:
    """The driver says so. A GPU whose resets have worked since must be reset again (docs/findings/0011)."""
    with session.findings_expected({*CONSEQUENCES, "warning"}) as found, session.misbehaving("reset-lost"):
        session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False)
        struck = session.struck("reset-lost")
        kinds = {finding.kind.value for finding in found()}
    try:
        if not struck:
            pytest.skip("this driver does not reset the GPU when it goes to sleep")
        assert "gpu-reset" in kinds, "the driver did not notice a reset that never ended"
        with session.findings_expected({"gpu-reset", "warning"}) as later:
            session.job("suspend-loop", "--count", "2", timeout=60)
        if later():
            pytest.xfail(f"docs/findings/0011: {later()[0].text.splitlines()[0]}")
    finally:
        rebind(session)


def test_reset_comes_after_it_is_said_to_be_over(session: Session) -> None:
    """It takes the firmware away from under the driver, which says so."""
    try:
        with session.findings_expected({*CONSEQUENCES, "warning"}) as found:
            with session.misbehaving("reset-early,ms=5,times=0"):
                session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False)
                if not session.struck("reset-early"):
                    pytest.skip("this driver does not reset the GPU when it goes to sleep")
            kinds = {finding.kind.value for finding in found()}
        assert kinds & FIRMWARE, f"the driver said nothing of it: {sorted(kinds)}"
    finally:
        rebind(session)


def test_l2_has_no_power_when_the_gpu_wakes_up(session: Session) -> None:
    """Jobs fail, at once and with an error, and the driver says why. When the L2 has power again, it has woken up for
    good (7.x), or fails for good and as soon (docs/findings/0010)."""
    try:
        with session.findings_expected({*CONSEQUENCES, "warning"}) as found:
            with session.misbehaving("power-lost,core=l2,times=0"):
                before = session.struck("power-lost")
                first = session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False).report
                assert session.struck("power-lost") > before, "the L2 was not to be switched on"
            later = [session.job("suspend-loop", "--count", "1", timeout=60, must_pass=False).report for _ in range(2)]
            kinds = {finding.kind.value for finding in found()}
        assert not first.ok, "a job is said to have run without the L2"
        assert kinds & (POWER | FIRMWARE), f"the driver said nothing of it: {sorted(kinds)}"
        hangs = "job-timeout" in kinds or any(
            "Timer expired" in line for report in (first, *later) for line in report.lines
        )
        assert not hangs, "a job hangs on a GPU that did not wake up"
        assert later[0].ok == later[1].ok, "the GPU works now and then"
    finally:
        with session.misuses_expected(), session.findings_expected({"warning", "power-error", "firmware-error"}):
            session.check("gpu-bind", "--mode", "replug", timeout=60)


def test_firmware_never_boots(session: Session) -> None:
    """Waking up fails, and with it jobs, at once and with an error: no group is put on such a GPU, as nobody answers
    there. It leaves the GPU as it is to the next test."""
    with session.findings_expected({*CONSEQUENCES, "warning"}) as found, session.misbehaving("boot-lost,times=0"):
        before = session.struck("boot-lost")
        report = session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False).report
        assert session.struck("boot-lost") > before, "the firmware had no occasion to boot"
        asked = [finding.text for finding in found() if finding.text.startswith("CSG ")]
    assert not asked, "the driver asks something of a GPU that did not wake up:\n" + "\n".join(asked)
    assert not any("Timer expired" in line for line in report.lines), "a job hangs on a GPU that did not wake up"


def test_put_back_after_it_never_booted(session: Session) -> None:
    """panthor that is put back on the GPU must find it well. 6.12 does not, and uses registers of a GPU without a clock
    on the way (docs/findings/0010)."""
    try:
        with session.misuses_expected(), session.findings_expected({"warning", "probe-error"}):
            rebind(session)
    except AssertionError as error:
        with session.misuses_expected():
            session.check("gpu-bind", "--mode", "replug")
        pytest.xfail(f"docs/findings/0010: {error}")
