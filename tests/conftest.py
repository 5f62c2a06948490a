# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests need of their surroundings."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def _heed_ctrl_c() -> None:
    """A shell starts background jobs with SIGINT ignored, which all processes of the tests would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
