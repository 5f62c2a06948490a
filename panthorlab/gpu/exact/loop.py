# SPDX-License-Identifier: GPL-2.0-or-later
"""The model's loop in the guest's time: a timer is due at a count of instructions, and the CPU is held there.

Nothing happens but at points that the guest's instructions define: at its register accesses, and where it is held. What
the host's loop would do "soon" is a timer here, too, with a latency from the seed. The order of what is due at the same
count is that in which it was asked for.
"""

from __future__ import annotations

import heapq
import select
from collections.abc import Callable
from functools import partial
from math import ceil

from panthorlab.gpu.exact.wire import Page
from panthorlab.gpu.latency import Latencies
from panthorlab.gpu.loop import Callback, Loop

INSTRUCTION_SECONDS = 8e-9
"""Of virtual time: 2**3 ns, QEMU's `-icount shift=3`."""


def name_of(call: Callback) -> str:
    """What kind of event a callback is: the function behind it."""
    inner: object = call
    while isinstance(inner, partial):
        inner = inner.func
    return getattr(inner, "__qualname__", type(inner).__qualname__)


class ExactLoop(Loop):
    """`now` is the guest's count of instructions, in seconds; it moves by `arrive` alone."""

    def __init__(self, on_error: Callable[[Exception], None], page: Page, latencies: Latencies) -> None:
        self.page, self.latencies = page, latencies
        self.count = 0
        super().__init__(on_error, _never_late, now=self._seconds)

    def _seconds(self) -> float:
        return self.count * INSTRUCTION_SECONDS

    # -- what the model asks for ---------------------------------------------------------------------------------

    def call_soon(self, call: Callback) -> None:
        """After a latency: the GPU's own parts take their time."""
        self.call_later(self.latencies.next(f"soon {name_of(call)}"), call)

    def add_slice(self, call: Callback) -> None:
        """After a latency: a slice of interpretation takes no time itself."""
        self.call_later(self.latencies.next(f"slice {name_of(call)}"), call)

    # -- where the guest is -------------------------------------------------------------------------------------

    def arrive(self) -> None:
        """The CPU waits for us: take over its count."""
        self.count = max(self.count, self.page.count)

    def leave(self) -> None:
        """Before the CPU goes on: say when it is to be held."""
        self.page.arm(self.next_due())

    def held(self) -> None:
        """The CPU is held: do what is due."""
        self.arrive()
        while self._timers and self._count_of(self._timers[0][0]) <= self.count and not self._stopped:
            _, _, timer = heapq.heappop(self._timers)
            if timer.pending:
                self._guard(timer.fire)
        self.leave()

    def next_due(self) -> int | None:
        """The count at which something is due; None if nothing is."""
        timers = self._timers
        while timers and not timers[0][2].pending:
            heapq.heappop(timers)
        return self._count_of(timers[0][0]) if timers else None

    @staticmethod
    def _count_of(at: float) -> int:
        # a millionth of an instruction is what floating point may have lost
        return ceil(at / INSTRUCTION_SECONDS - 1e-6)

    # -- descriptors --------------------------------------------------------------------------------------------

    def step(self, most: float | None = None) -> None:
        """Wait for a descriptor, `most` seconds of the host's at most, and serve it: timers are the CPU's."""
        for fd in select.select(self._fds, (), (), most)[0]:
            if fd in self._readers:
                self._guard(self._readers[fd])

    def serve_until(self, done: Callable[[], bool]) -> None:
        """Serve descriptors while the CPU is held, until `done()` or `stop`."""
        while not done() and not self._stopped:
            self.step()

    @property
    def stopped(self) -> bool:
        return self._stopped


def _never_late(_seconds: float) -> None:
    """No timer is late: the CPU was held for it."""
