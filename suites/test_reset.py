# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware stops answering: the driver notices, resets the GPU, and the next process's job works."""

from __future__ import annotations

import pytest

from panthorlab.run.fuzz import must_be_borne
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, awake, with_warnings, wrong_warnings

pytestmark = pytest.mark.driver("vm", "groups", "recovery")

# Nobody asks anything of the GPU, which stays awake: the driver pings the firmware every 12 s, and the second ping is
# lost.
SILENCE = """
vm_create v0
group_create g0 vm=v0
submit group=g0 stream=store signal=s0
wait sync=0 ms=2000
misdeed boot-late,ms=1,times=0
misdeed glb-lost,nth=2
sleep ms=28000
"""
SILENCE_MS = 60_000

# More groups than slots, all busy, and the stream of one breaks off: others wait for a slot when the GPU is reset.
CROWD = "\n".join(
    (
        "vm_create v0",
        *(f"group_create g{number} vm=v0" for number in range(12)),
        "misdeed boot-late,ms=1,times=0",
        *(f"submit group=g{number} stream=loop" for number in range(11)),
        "misdeed cs-fatal,exception=0x41",
        "submit group=g11 stream=loop",
        "sleep ms=200",
    )
)


def test_reset_and_recovery(session: Session) -> None:
    if not session.can_inject("mcu-hang"):
        pytest.skip("this board has no way to make its firmware hang on purpose")
    session.job("store")
    with session.findings_expected({"firmware-error", "gpu-reset", "job-timeout", "power-error"}) as found:
        session.inject("mcu-hang")
        session.job("store", timeout=60, must_pass=False)
        session.job("store", timeout=60, retries=3)
    assert found(), "the driver did not notice that its firmware was dead"


def test_unrecoverable_error_of_a_stream(session: Session) -> None:
    """CS_UNRECOVERABLE says that nothing on the GPU can be relied upon: it must be reset. No driver tells of a reset
    that goes well, but the firmware is started then."""
    with awake(session), session.findings_expected({"cs-fatal", *CONSEQUENCES}):
        session.job("store")  # it is awake
        with session.misbehaving("cs-fatal,exception=0x41", "boot-late,ms=1,times=0"):
            broken, boots = session.struck("cs-fatal"), session.struck("boot-late")
            session.job("store", must_pass=False)
            session.job("store", timeout=60, retries=3)
            assert session.struck("cs-fatal") > broken, "no stream broke off"
            assert session.struck("boot-late") > boots, "the GPU was not reset"


def test_group_that_is_well_goes_on_after_a_reset(session: Session) -> None:
    """By itself: nobody submits anything that would remind the driver of it."""
    with awake(session), session.findings_expected({"cs-fatal", *CONSEQUENCES}):
        session.job("store")  # it is awake
        with session.misbehaving("cs-fatal,exception=0x41,slot=1", "boot-late,ms=1,times=0"):
            broken, boots = session.struck("cs-fatal"), session.struck("boot-late")
            session.job("reset-goes-well", timeout=40)
            assert session.struck("cs-fatal") > broken, "no stream broke off"
            assert session.struck("boot-late") > boots, "the GPU was not reset"


@pytest.mark.parametrize(
    "rule",
    ["boot-lost,times=0", pytest.param("power-lost,core=l2,times=0", marks=pytest.mark.deep)],
    ids=["firmware", "l2"],
)
def test_jobs_end_with_a_reset_that_fails(session: Session, rule: str) -> None:
    """The firmware does not boot again, or the L2 cache, without which nothing runs, has no power; and the driver gives
    the GPU up: what ran before in another group must end, or who waits for it waits for ever. The GPU works again with
    a driver that knows nothing of all that; 6.12 uses registers of a GPU without a clock on the way
    (docs/findings/0010). Lockdep tells of a reset that fails that it may wait for an unplug that waits for it, and of
    nothing after that."""
    if session.has_config("CONFIG_PROVE_LOCKING"):
        pytest.skip("docs/findings/0038: lockdep would be blind to what comes after")
    with awake(session):
        session.job("store")  # it is awake: the start that fails must be a reset's
        try:
            with session.findings_expected(with_warnings(session, "cs-fatal", *CONSEQUENCES)):
                name = rule.partition(",")[0]
                with session.misbehaving("cs-fatal,exception=0x41,slot=1", rule):
                    broken, lost = session.struck("cs-fatal"), session.struck(name)
                    report = session.job("reset-fails", timeout=60, must_pass=False).report
                    assert session.struck("cs-fatal") > broken, "no stream broke off"
                    assert session.struck(name) > lost, "no reset failed"
                assert report.ok, "\n".join((f"gpu-job: {report.why}", *report.lines))
        finally:
            with (
                session.misuses_expected(),
                session.findings_expected(with_warnings(session, "power-error", "firmware-error")),
            ):
                session.check("gpu-bind", "--mode", "replug", timeout=60)


def test_firmware_that_dies_in_silence(session: Session) -> None:
    """The driver must notice by itself. That is seen where idle time passes at once."""
    if not session.exact_time:
        pytest.skip("half a minute would be waited for")
    with awake(session, SILENCE_MS):
        before = {name: session.struck(name) for name in ("glb-lost", "boot-late")}
        must_be_borne(session, SILENCE)
        assert session.struck("glb-lost") > before["glb-lost"], "the firmware was not asked twice whether it is alive"
        assert session.struck("boot-late") > before["boot-late"], "the GPU was not reset"


def test_groups_wait_for_a_slot_meanwhile(session: Session) -> None:
    with session.findings_expected({"warning"}) as found:
        before = session.struck("boot-late")
        must_be_borne(session, CROWD, but={"warning"})
        assert session.struck("boot-late") > before, "the GPU was not reset"
    wrong = wrong_warnings(session, found())
    assert not wrong, "\n".join(wrong)
