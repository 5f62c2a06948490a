# SPDX-License-Identifier: GPL-2.0-or-later
"""panthor is taken off its GPU and put back, often, with work and interrupts under way."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import LEFT_AT_UNPLUG

pytestmark = [pytest.mark.driver("vm", "groups", "power"), pytest.mark.deep]


@pytest.mark.driver("probe")
def test_idle_often(session: Session) -> None:
    session.check("gpu-bind", "--mode", "idle", "--count", "100", timeout=300)


@pytest.mark.parametrize("rule", ["none", "irq-late,line=job,ms=3,times=0", "event-late,event=idle,ms=5,times=0"])
def test_under_load(session: Session, rule: str) -> None:
    """What was under way is given up with a job time-out or an error of the firmware, never worse."""
    name = "" if rule == "none" else rule.partition(",")[0]
    with session.findings_expected({"job-timeout", "firmware-error"}):
        with session.misbehaving(rule) if name else nullcontext():
            before = session.struck(name) if name else 0
            session.check("gpu-bind", "--mode", "busy", "--count", "8", timeout=300)
            struck = session.struck(name) if name else 0
        session.job("spin", timeout=40)  # its time-out comes after those of all jobs that were given up
    if name and struck == before:
        pytest.skip(f"this driver gives no occasion for {rule} when it is taken off its GPU")


def test_on_the_way_to_sleep_often(session: Session) -> None:
    """Of 64 render nodes each round may use one up for ever (docs/findings/0037), and those before may have, too."""
    with session.misbehaving("as-stuck,ms=40,times=0,space=user"), session.findings_expected(LEFT_AT_UNPLUG):
        before = session.struck("as-stuck")
        session.check("gpu-bind", "--mode", "drowsy", "--count", "10", timeout=120)
        assert session.struck("as-stuck") > before, "no address space was stuck"
