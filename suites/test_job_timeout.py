# SPDX-License-Identifier: GPL-2.0-or-later
"""A job that never ends is timed out by the driver, alone, and the next process's job works."""

from __future__ import annotations

import pytest

from panthorlab.run.fuzz import must_be_borne
from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups", "recovery")

ENDLESS = """
vm_create v0
group_create g0 vm=v0
submit group=g0 stream=wait
suspended ms=3000
submit group=g0 stream=store
sleep ms=9000
"""


def test_timeout_and_recovery(session: Session) -> None:
    with session.findings_expected({"job-timeout"}) as found:
        session.job("spin", timeout=40)
        session.job("store")
    assert "job-timeout" in {finding.kind for finding in found()}


def test_endless_wait_is_given_up(session: Session) -> None:
    """A stream waits for what never comes, the GPU sleeps over it, and the driver gets another job for its queue."""
    if session.board.facts().get("time") != "exact":
        pytest.skip("twice the driver's 5 s would be waited for")
    with session.findings_expected({"job-timeout"}) as found:
        must_be_borne(session, ENDLESS)
    assert "job-timeout" in {finding.kind for finding in found()}, "the wait was not given up"
