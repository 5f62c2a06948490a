# SPDX-License-Identifier: GPL-2.0-or-later
"""The time in which a board lives. Whoever waits for a board does it here, for in exact time a board runs only then."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol, TypeVar

Taken = TypeVar("Taken")


class TimeName(StrEnum):
    """Which time it is."""

    HOST = "host"
    EXACT = "exact"


TIMES: Final = tuple(name.value for name in TimeName)
HELP: Final = "emulated boards' time: `exact`, where one seed is one run, or `host` (default: as the board's file says)"


class BoardTime(Protocol):
    """Seconds of it are for deadlines, and compare with nothing else."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def wait(self, changed: threading.Condition, done: Callable[[], bool], timeout: float) -> bool:
        """Until `done()`, which is asked with `changed` held; False at the deadline."""

    def take(self, items: queue.SimpleQueue[Taken], timeout: float) -> Taken | None:
        """The next item that the board gives; None at the deadline."""

    def before_looking(self, settle: Callable[[], None]) -> None:
        """`settle()` returns when all that came from the board so far has been understood. In exact time nobody looks
        before: what he sees would depend on the host."""


class HostTime:
    """The board runs by itself, in the time of this machine."""

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
