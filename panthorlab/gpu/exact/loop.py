# SPDX-License-Identifier: GPL-2.0-or-later
"""The model's loop in guest time: each timer is due at a guest instruction count, and the CPU is held there.

The model acts only at points defined by the guest's instructions: at register accesses, and where the CPU is held.
What a GPU does "soon", and slices, are timers here too, with a latency drawn from the seed. Timers due at the same
count run in the order in which they were set.
"""

from __future__ import annotations

import heapq
import select
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil

from panthorlab.gpu.exact.order import Orders
from panthorlab.gpu.exact.wire import Page
from panthorlab.gpu.latency import NANOSECONDS, Latencies
from panthorlab.gpu.loop import Callback, Loop, Timer
from panthorlab.gpu.targets import Target

INSTRUCTION_SECONDS = 8e-9
"""Virtual time of one instruction: 2**3 ns, as QEMU's `-icount shift=3`."""
STREAM_INSTRUCTION_SECONDS = 1e-6
"""Virtual time of one instruction of a command stream: about what interpreting it takes, so that a guest whose GPU is
at work runs no slower than in the host's time."""


def of_gpu(gpu: int) -> str:
    """What is added to the names of what several GPUs have, e.g. to kinds of events: nothing for the first one."""
    return f"@{gpu}" if gpu else ""


def name_of(call: Callback) -> str:
    """The kind of event of a callback: the name of its function; of one that is called on a condition, that one's."""
    inner: object = call
    while isinstance(inner, partial):
        inner = inner.args[0] if inner.args and callable(inner.args[0]) else inner.func
    return getattr(inner, "__qualname__", type(inner).__qualname__)


@dataclass(frozen=True)
class _Awaited:
    """An event that comes when the CPU gets to its `target`, but not before `least_at` seconds; if the CPU does not, by
    its `timer`. `count`: the instruction at which that was set."""

    target: Target
    timer: Timer
    count: int
    least_at: float


class ExactLoop(Loop):
    """`now` is the guest's instruction count in seconds; only `arrive` advances it."""

    def __init__(self, on_error: Callable[[Exception], None], page: Page, latencies: Latencies) -> None:
        self.page, self.latencies = page, latencies
        self.count = 0
        self.orders: Orders | None = None
        self.acted: list[Callable[[Callback], None]] = []
        """Called after each action of a GPU."""
        self._awaited: _Awaited | None = None
        self.aside: Callback | None = None
        """What only a host has asked for that looks: no action of the GPU."""
        super().__init__(on_error, self._seconds)

    def _seconds(self) -> float:
        return self.count * INSTRUCTION_SECONDS

    # -- what the GPUs ask for ----------------------------------------------------------------------------------------

    def act_later(self, kind: str, call: Callback, least: float = 0.0) -> None:
        """Run `call`, an event of this kind, after its latency, and no sooner than in `least` seconds."""
        timer = self.call_later(max(self.latency(kind), least), call)
        if (target := self.latencies.target(kind)) is not None:
            self._awaited = _Awaited(target, timer, self.count, self.now() + least)
            self.page.watch(target.address, target.begins)

    def latency(self, kind: str) -> float:
        """Latency in seconds of the next event of this kind."""
        seconds = self.latencies.next(kind)
        if self.orders is not None:
            self.orders.latency(kind, self.latencies.number(kind), round(seconds * NANOSECONDS), self.count)
        return seconds

    # -- where the guest is -------------------------------------------------------------------------------------

    def arrive(self) -> None:
        """The CPU waits for the model: read its instruction count."""
        self.count = max(self.count, self.page.count)

    def leave(self) -> None:
        """Before the CPU goes on: set the count at which it is to be held next."""
        self.page.arm(self.next_due())

    def held(self) -> None:
        """The CPU is held: run the timers that are due."""
        self.arrive()
        if (awaited := self._awaited) is not None and not self.page.watched:
            self._awaited = None
            self._move(awaited)
        while self._timers and self._count_of(self._timers[0][0]) <= self.count and not self._stopped:
            _, _, timer = heapq.heappop(self._timers)
            if (call := timer.call) is not None:
                self._guard(timer.fire)
                if call is not self.aside:
                    for acted in self.acted:
                        acted(call)
        if self._awaited is not None and not self._awaited.timer.pending:  # the CPU has not come there in time
            self._awaited = None
            self.page.watch(0, 0)
        self.leave()

    def _move(self, awaited: _Awaited) -> None:
        """The CPU is where an event was to come: it comes now, or as soon as it can."""
        call, at = awaited.timer.call, max(self.now(), awaited.least_at)
        if call is None:
            return
        awaited.timer.cancel()
        self.call_later(at - self.now(), call)
        if self.orders is not None:
            ns = round((self._count_of(at) - awaited.count) * INSTRUCTION_SECONDS * NANOSECONDS)
            self.orders.moved(awaited.target.kind, awaited.target.number, ns)

    def next_due(self) -> int | None:
        """The count at which the next timer is due; None: no timer is set."""
        at = self._next_timer()
        return None if at is None else self._count_of(at)

    @staticmethod
    def _count_of(at: float) -> int:
        # allow for floating-point error: a millionth of an instruction
        return ceil(at / INSTRUCTION_SECONDS - 1e-6)

    # -- descriptors --------------------------------------------------------------------------------------------

    def step(self, most: float | None = None) -> None:
        """Wait for file descriptors, at most `most` host seconds, and serve them. Runs no timers: see `held`."""
        for fd in select.select(self._fds, (), (), most)[0]:
            if fd in self._readers:
                self._guard(self._readers[fd])

    def serve_until(self, done: Callable[[], bool]) -> None:
        """Serve file descriptors while the CPU is held, until `done()` or `stop`."""
        while not done() and not self._stopped:
            self.step()

    @property
    def stopped(self) -> bool:
        return self._stopped


class LoopOfGpu:
    """The loop as one GPU uses it (`Timers`). Of several GPUs, each has kinds of events of its own: those of the others
    have the same latencies with it and without it."""

    def __init__(self, loop: ExactLoop, gpu: int) -> None:
        self.now, self.call_later = loop.now, loop.call_later
        self._act_later, self._whose = loop.act_later, of_gpu(gpu)

    def call_soon(self, call: Callback) -> None:
        """Run `call` after a latency, since the GPU's internal work takes time."""
        self._act_later(f"soon {name_of(call)}{self._whose}", call)

    def add_slice(self, call: Callback, after: int = 0) -> None:
        """Run the slice after a latency, and no sooner than the `after` instructions before it take."""
        self._act_later(f"slice {name_of(call)}{self._whose}", call, after * STREAM_INSTRUCTION_SECONDS)
