# SPDX-License-Identifier: GPL-2.0-or-later
"""Runtime suspend and resume: jobs, and the state of groups that wait, survive them."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups", "power")


def test_job_after_each_suspend(session: Session) -> None:
    session.job("suspend-loop", "--count", "10", timeout=60)


def test_blocked_stream_survives_suspend(session: Session) -> None:
    session.job("resume-state", timeout=30)


def test_streams_wait_for_each_other(session: Session) -> None:
    session.job("sync-wait", timeout=30)
