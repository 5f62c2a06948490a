# SPDX-License-Identifier: GPL-2.0-or-later
"""How a worker ends before its time: told so by its controller (SIGINT), or because that has gone (SIGTERM)."""

from __future__ import annotations

import faulthandler
import os
import signal
from types import FrameType
from typing import Final

LEAVE: Final = 120.0
"""Seconds in which a worker without a controller must have put its boards in order. Nobody else would end one that
hangs, and it would keep its board from everybody: a lease ends with its process."""


class Leaving:
    """The first signal unwinds through the fixtures that stop the board; a second one would cut that short."""

    def __init__(self, limit: float = LEAVE) -> None:
        self._limit, self._leaves = limit, False

    def heed(self) -> None:
        """From now on. Also where SIGINT was ignored, as in what a shell has started in the background."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told)

    def _told(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            # of C, so it also ends an interpreter that hangs while it is taken down
            faulthandler.dump_traceback_later(self._limit, exit=True, file=os.dup(2))
        if not self._leaves:
            self._leaves = True
            raise KeyboardInterrupt
