# SPDX-License-Identifier: GPL-2.0-or-later
"""The clock of a board. All waiting for a board goes through it: in exact time the board runs only during waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol, TypeVar

Taken = TypeVar("Taken")


class TimeName(StrEnum):
    """Which clock a board runs on."""

    HOST = "host"
    EXACT = "exact"


TIMES: Final = tuple(name.value for name in TimeName)
HELP: Final = "emulated boards' time: `exact`, where one seed is one run, or `host` (default: as the board's file says)"


class BoardTime(Protocol):
    """The clock of a board. Its seconds are for deadlines only and not comparable with any other clock."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, changed: threading.Condition, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until `done()`, which is called with `changed` held; False at the deadline."""

    def take(self, items: queue.SimpleQueue[Taken], timeout: float) -> Taken | None:
        """The next item from the board; None at the deadline."""

    def before_looking(self, settle: Callable[[], None]) -> None:
        """Called before the caller looks at received data: `settle()` returns once all of it has been processed. Exact
        time needs this, or what the caller sees would depend on the host's speed."""


class HostTime:
    """Host time: the board runs by itself, on the clock of this machine."""

    def now(self) -> float:
        """CLOCK_MONOTONIC."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, changed: threading.Condition, done: Callable[[], bool], timeout: float) -> bool:
        with changed:
            return changed.wait_for(done, timeout)

    def take(self, items: queue.SimpleQueue[Taken], timeout: float) -> Taken | None:
        try:
            return items.get(timeout=timeout)
        except queue.Empty:
            return None

    def before_looking(self, settle: Callable[[], None]) -> None:
        del settle


HOST = HostTime()
