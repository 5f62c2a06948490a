# SPDX-License-Identifier: GPL-2.0-or-later
"""A job that never ends is timed out by the driver, alone, and the next process's job works."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups", "recovery")


def test_timeout_and_recovery(session: Session) -> None:
    with session.findings_expected({"job-timeout"}) as found:
        session.job("spin", timeout=40)
        session.job("store")
    assert "job-timeout" in {finding.kind for finding in found()}
