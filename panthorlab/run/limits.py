# SPDX-License-Identifier: GPL-2.0-or-later
"""`--time-limit`: one alarm over everything a command does, whichever phase it is in."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

LONGEST: Final = 366 * 86400.0
"""Seconds. A limit beyond it is none."""


class TimeLimitReached(KeyboardInterrupt):
    """The time is up. Whatever unwinds for Ctrl-C unwinds for this as well, and nothing takes it for an error."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeLimitReached in the main thread, which must be the caller, after so many seconds; None: never.

    Runs of older versions may have infinity, or no number at all, for a limit: they have none.
    """
    if seconds is None or not 0 < seconds <= LONGEST:
        yield
        return

    def expire(_signum: int, _frame: FrameType | None) -> None:
        raise TimeLimitReached

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
