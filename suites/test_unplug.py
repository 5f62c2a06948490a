# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver is taken off its GPU and put back: nothing is lost, whoever uses the GPU, and whatever state it is in."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, rebind

pytestmark = pytest.mark.driver("vm", "groups", "power", "recovery")


@pytest.mark.driver("probe")
def test_idle(session: Session) -> None:
    """Interrupts and memory come back. KASAN keeps back what was freed: there `lost-memory` looks for losses."""
    lenient = ("--lenient",) if session.has_config("CONFIG_KASAN") else ()
    session.check("gpu-bind", "--mode", "idle", "--count", "6", *lenient, timeout=60)


def test_held(session: Session) -> None:
    """By processes that leave before, or after, it is back. Each of the eight rounds is another moment."""
    session.check("gpu-bind", "--mode", "held", "--count", "8", timeout=60)


def test_on_the_way_to_sleep(session: Session) -> None:
    """A mapping call that takes long keeps the unplug waiting, and the GPU falls asleep meanwhile."""
    with session.misbehaving("as-stuck,ms=40,times=0,space=user"):
        before = session.struck("as-stuck")
        session.check("gpu-bind", "--mode", "drowsy", "--count", "2", timeout=60)
        assert session.struck("as-stuck") > before, "no address space was stuck"


def test_events_come_in(session: Session) -> None:
    """The unbind is ahead of the kernel's workers: events that came before must not be looked at after it. With KASAN,
    more rounds take so long that the jobs of the first ones are given up meanwhile (docs/findings/0037)."""
    rounds = "3" if session.has_config("CONFIG_KASAN") else "8"
    session.check("gpu-bind", "--mode", "events", "--count", rounds, timeout=60)


def test_firmware_dead(session: Session) -> None:
    with session.misbehaving("mcu-hang"), session.findings_expected(set(CONSEQUENCES)):
        before = session.struck("mcu-hang")
        session.job("store", timeout=60, must_pass=False)
        session.check("gpu-bind", "--mode", "off", timeout=60)
        assert session.struck("mcu-hang") > before, "no occasion for mcu-hang"
    rebind(session)
