# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU fails while its driver is put on it: the probe must fail with an error, say why, and leave nothing behind;
and it must work again when the GPU does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ETIMEDOUT
from typing import Final

import pytest

from panthorlab.kmsg.model import Finding
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, LEFT_AT_UNPLUG, kernel_version, probe, rebind

pytestmark = pytest.mark.driver("probe")

LOST = ("boot-lost,times=0", "reset-lost,times=0", "power-lost,core=l2,times=0")
LATE = ("boot-late,ms=300,times=0", "reset-late,ms=300,times=0", "power-late,core=l2,ms=300,times=0")
"""Longer than some drivers wait: each decides whether it bears that."""
SPOKEN = {*CONSEQUENCES, "probe-error"}


RESET_WAITS: Final = (7, 2)
"""Kernels before let the reset that a probe asks for run at once, on blocks that are not there yet, and die of it."""


NOT_AWAITED: Final = (6, 16)
"""Since then the driver goes on when it has asked for power."""


def probe_with(session: Session, rule: str) -> tuple[int, Sequence[Finding]]:
    """Put the driver on a GPU that does wrong what `rule` says; what its probe fails with, 0 for nothing, and what is
    said of it."""
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
    return errno, found()


@pytest.mark.parametrize("rule", LOST)
def test_probe_gives_up(session: Session, rule: str) -> None:
    with session.findings_expected(LEFT_AT_UNPLUG):
        try:
            errno, said = probe_with(session, rule)
        finally:
            rebind(session)
    if errno == 0 and session.driver.name == "tyr" and rule.startswith("reset-lost"):
        pytest.xfail("Tyr does not clear RESET_COMPLETED before it resets the GPU, and sees that of the reset before")
    assert errno == ETIMEDOUT, f"{rule}: {os.strerror(errno) if errno else 'the probe did not notice'}"
    if rule.startswith("power-") and session.driver.name == "panthor":
        power = [finding for finding in said if finding.kind == "power-error"]
        if not power and kernel_version(session) >= NOT_AWAITED:
            pytest.xfail("docs/findings/0072: nobody waits for the L2 cache to have its power")
        assert power, "the firmware was started on an L2 cache without power: " + "; ".join(one.text for one in said)


@pytest.mark.parametrize("rule", LATE)
def test_probe_waits_or_gives_up(session: Session, rule: str) -> None:
    with session.findings_expected(LEFT_AT_UNPLUG):
        try:
            errno, _ = probe_with(session, rule)
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
            errno, _ = probe_with(session, "as-stuck,ms=150,space=firmware")
        finally:
            rebind(session)
    assert errno == ETIMEDOUT, os.strerror(errno) if errno else "the probe did not notice"


def test_gpu_does_not_wake_up_for_its_unbind(session: Session) -> None:
    """The driver is taken off a GPU that sleeps, and whose firmware does not boot any more: no register may be used
    then, as there is no clock."""
    if session.driver.name == "panthor" and kernel_version(session) < (6, 14):
        pytest.skip("docs/findings/0010: a GPU that once did not wake up is never probed again")
    with session.findings_expected({*CONSEQUENCES, "warning", *LEFT_AT_UNPLUG}):
        try:
            session.job("suspend-loop", "--count", "1")  # it sleeps
            with session.misbehaving("boot-lost,times=0"):
                before = session.struck("boot-lost")
                session.check("gpu-bind", "--mode", "off", timeout=60)
                if session.struck("boot-lost") == before:
                    pytest.skip("this driver does not wake the GPU up to leave it")
        finally:
            rebind(session)
