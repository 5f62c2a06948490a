# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU fails while its driver is put on it: the probe must fail with an error, say why, and leave nothing behind;
and it must work again when the GPU does."""

from __future__ import annotations

import os
from errno import ETIMEDOUT
from typing import Final

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, LEFT_AT_UNPLUG, kernel_version, probe, rebind

pytestmark = pytest.mark.driver("probe")

LOST = ("boot-lost,times=0", "reset-lost,times=0", "power-lost,core=l2,times=0")
LATE = ("boot-late,ms=300,times=0", "reset-late,ms=300,times=0", "power-late,core=l2,ms=300,times=0")
"""Longer than some drivers wait: each decides whether it bears that."""
SPOKEN = {*CONSEQUENCES, "probe-error"}


RESET_WAITS: Final = (7, 2)
"""Kernels before let the reset that a probe asks for run at once, on blocks that are not there yet, and die of it."""


def probe_with(session: Session, rule: str) -> int:
    """Put the driver on a GPU that does wrong what `rule` says; what its probe fails with, 0 for nothing."""
    session.check("gpu-bind", "--mode", "off", timeout=60)  # some wake the GPU up to leave it
    name = rule.partition(",")[0]
    if name.startswith("reset-") and session.driver.name == "panthor":
        pytest.skip("panthor resets the GPU when it puts it to sleep, not when it probes: gpu-trouble has that")
    with session.findings_expected(SPOKEN) as found, session.misbehaving(rule):
        before = session.struck(name)
        errno = -probe(session)
        if session.struck(name) == before:
            pytest.skip(f"this driver gives no occasion for {rule} when it probes")
    assert errno == 0 or found(), f"the probe failed with {os.strerror(errno)}, and nothing was said"
    return errno


@pytest.mark.parametrize("rule", LOST)
def test_probe_gives_up(session: Session, rule: str) -> None:
    with session.findings_expected(LEFT_AT_UNPLUG):
        try:
            errno = probe_with(session, rule)
        finally:
            rebind(session)
    if errno == 0 and session.driver.name == "tyr" and rule.startswith("reset-lost"):
        pytest.xfail("Tyr does not clear RESET_COMPLETED before it resets the GPU, and sees that of the reset before")
    assert errno == ETIMEDOUT, f"{rule}: {os.strerror(errno) if errno else 'the probe did not notice'}"


@pytest.mark.parametrize("rule", LATE)
def test_probe_waits_or_gives_up(session: Session, rule: str) -> None:
    with session.findings_expected(LEFT_AT_UNPLUG):
        try:
            errno = probe_with(session, rule)
        finally:
            rebind(session)
    assert errno in (0, ETIMEDOUT), f"{rule}: {os.strerror(errno)}"


def test_reset_that_a_probe_asks_for(session: Session) -> None:
    """The MMU does not end the first command, so that the driver asks for a reset: its probe must fail, and nothing
    more."""
    if session.driver.name == "panthor" and kernel_version(session) < RESET_WAITS:
        pytest.skip("before 7.2 a reset during the probe works on what is not there yet, and the kernel dies of it")
    with session.findings_expected(LEFT_AT_UNPLUG):
        try:
            errno = probe_with(session, "as-stuck,ms=150,space=firmware")
        finally:
            rebind(session)
    assert errno == ETIMEDOUT, os.strerror(errno) if errno else "the probe did not notice"
