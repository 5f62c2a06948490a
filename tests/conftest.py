# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tests need: signals as in a terminal.

A shell starts background jobs with SIGINT ignored, and so it would stay for the programs that tests interrupt.
"""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def _heed_ctrl_c() -> None:
    """A shell starts what runs in the background with SIGINT ignored; processes of tests would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
