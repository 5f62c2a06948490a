# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware stops answering: the driver notices, resets the GPU, and the next process's job works."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups", "recovery")


def test_reset_and_recovery(session: Session) -> None:
    if not session.can_inject("mcu-hang"):
        pytest.skip("this board has no way to make its firmware hang on purpose")
    session.job("store")
    with session.findings_expected({"firmware-error", "gpu-reset", "job-timeout", "power-error"}) as found:
        session.inject("mcu-hang")
        session.job("store", timeout=60, must_pass=False)
        session.job("store", timeout=60, retries=3)
    assert found(), "the driver did not notice that its firmware was dead"
