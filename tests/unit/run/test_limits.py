# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import signal
import threading

import pytest

from panthorlab.run.limits import TimeLimitReached, time_limit


def test_limit_ends_a_wait_and_is_no_ordinary_error() -> None:
    assert not issubclass(TimeLimitReached, Exception)
    with pytest.raises(TimeLimitReached), time_limit(0.05):
        threading.Event().wait(30)


@pytest.mark.parametrize("seconds", [None, 60.0, float("inf"), float("nan"), 1e300, 0.0, -1.0])
def test_limit_that_is_not_reached_leaves_no_alarm(seconds: float | None) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(seconds):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before
