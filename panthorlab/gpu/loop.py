# SPDX-License-Identifier: GPL-2.0-or-later
"""The model's only thread. In the host's time it serves file descriptors, `call_soon` calls, timers and command stream
slices, in this order.

A slice is short, so a register read never waits long. A busy stream gets only a share of the time (`slice.burst_ms`,
`slice.share`): the guest runs on the same host CPU, and its driver must meet its deadlines.
"""

from __future__ import annotations

import heapq
import select
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Protocol

Callback = Callable[[], None]
LATE = 0.02  # seconds; a fifth of the driver's time-out for firmware requests


class Timer:
    """A call that is due at `at` (CLOCK_MONOTONIC seconds)."""

    __slots__ = ("_call", "at")

    def __init__(self, at: float, call: Callback) -> None:
        self.at = at
        self._call: Callback | None = call

    @property
    def call(self) -> Callback | None:
        """None once it has been cancelled or fired."""
        return self._call

    def cancel(self) -> None:
        self._call = None

    @property
    def pending(self) -> bool:
        return self._call is not None

    def fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class Timers(Protocol):
    """The loop as a GPU uses it: the clock of the whole model, and calls that are due later."""

    @property
    def now(self) -> Callable[[], float]:
        """Seconds."""

    def call_soon(self, call: Callback) -> None:
        """Run `call` as soon as the GPU gets to it."""

    def call_later(self, seconds: float, call: Callback) -> Timer:
        """Run `call` in so many seconds."""

    def add_slice(self, call: Callback, after: int = 0) -> None:
        """Queue one slice of interpretation, after one of `after` instructions."""


class Loop(ABC):
    """File descriptors and timers. `on_error` gets the exception of a callback; when it returns, the loop goes on.
    `now` is the clock of the whole model, in seconds.
    """

    def __init__(self, on_error: Callable[[Exception], None], now: Callable[[], float]) -> None:
        self.now = now
        self._on_error = on_error
        self._readers: dict[int, Callback] = {}
        self._fds: list[int] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._stopped = False

    def add_reader(self, fd: int, call: Callback) -> None:
        self._readers[fd] = call
        self._fds = list(self._readers)

    def remove_reader(self, fd: int) -> None:
        del self._readers[fd]
        self._fds = list(self._readers)

    def call_later(self, seconds: float, call: Callback) -> Timer:
        timer = Timer(self.now() + seconds, call)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Run until `stop`."""
        while not self._stopped:
            self.step()

    @abstractmethod
    def step(self, most: float | None = None) -> None:
        """One round: wait, at most `most` seconds of the host, and serve what is there."""

    def _next_timer(self) -> float | None:
        """When the next timer is due; None: none is set."""
        timers = self._timers
        while timers and not timers[0][2].pending:
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def _guard(self, call: Callback) -> None:
        try:
            call()
        except Exception as error:  # the model must keep answering; `on_error` records it
            self._on_error(error)


class HostLoop(Loop):
    """The loop in the host's time. `on_late` gets the seconds by which a timer was late, if more than `LATE`: the host
    is overloaded, and latencies exceed their parameters. `now`: CLOCK_MONOTONIC seconds.
    """

    def __init__(
        self,
        on_error: Callable[[Exception], None],
        on_late: Callable[[float], None],
        burst: float = 0.002,
        share: float = 0.5,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(on_error, now)
        self._on_late = on_late
        self._burst, self._share = burst, share
        self._soon: deque[Callback] = deque()
        self._slices: deque[Callback] = deque()
        self._busy = 0.0  # seconds of interpretation since the last pause
        self._resume_at = 0.0

    def call_soon(self, call: Callback) -> None:
        """Run `call` before the loop waits again."""
        self._soon.append(call)

    def add_slice(self, call: Callback, after: int = 0) -> None:
        """Queue one slice of interpretation. `after`: instructions of the slice before it, which took their time."""
        del after
        self._slices.append(call)

    def step(self, most: float | None = None) -> None:
        """One round: wait until something is due, at most `most` seconds, and run it."""
        wait = self.due_in()
        if most is not None:
            wait = most if wait is None else min(wait, most)
        # select, since poll and epoll cannot wait for less than a millisecond
        for fd in select.select(self._fds, (), (), wait)[0]:
            self._guard(self._readers[fd])
        while self._soon and not self._stopped:
            self._guard(self._soon.popleft())
        if self._timers:
            self._run_timers()
        if self._slices:
            self._run_slice()

    def due_in(self) -> float | None:
        """Seconds until a call, timer or slice is due; None: nothing is queued."""
        if self._soon:
            return 0.0
        at = self._next_timer()
        if self._slices and (at is None or self._resume_at < at):
            at = self._resume_at
        if at is None:
            return None
        return max(0.0, at - self.now())

    def _run_timers(self) -> None:
        at = self.now()
        while self._timers and self._timers[0][0] <= at:
            due, _, timer = heapq.heappop(self._timers)
            if timer.pending:
                if at - due > LATE:
                    self._on_late(at - due)
                self._guard(timer.fire)

    def _run_slice(self) -> None:
        start = self.now()
        if start < self._resume_at:
            return
        self._guard(self._slices.popleft())
        end = self.now()
        if not self._slices:
            self._busy = 0.0
            return
        self._busy += end - start
        if self._busy >= self._burst:
            # a slice that the host preempted must not lengthen the pause
            self._resume_at = end + min(self._busy, 2 * self._burst) * (1 - self._share) / self._share
            self._busy = 0.0
