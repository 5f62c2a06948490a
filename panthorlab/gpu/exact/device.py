# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU in exact time: each register access and each interrupt happens at a defined guest instruction count.

An interrupt is raised only while the CPU is held, and the CPU goes on only after the client has handled it. Otherwise
the host's scheduler would decide when it arrives.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from functools import partial

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact.digest import Digest
from panthorlab.gpu.exact.loop import ExactLoop, name_of
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.params import Params
from panthorlab.gpu.trace import Trace

PATIENCE = 10_000
"""Maximum round trips until the client has taken an interrupt; usually one or two are enough."""


class ExactGpu(GpuDevice):
    """`digest`: records all accesses and interrupts. `round_trip`: returns after the client processed all messages."""

    def __init__(
        self,
        generation: Generation,
        params: Params,
        reporter: Reporter,
        trace: Trace,
        loop: ExactLoop,
        seed: int,
        digest: Digest,
    ) -> None:
        super().__init__(generation, params, reporter, trace, loop, seed)
        self.digest = digest
        self.round_trip: Callable[[], None] = _nobody
        self._exact = loop
        if digest.recording:
            loop.on_timer = lambda call: digest.timer(loop.count, name_of(call))
        for irq in self.irqs:
            irq.carry = self._carry

    def read(self, offset: int) -> int:
        self._exact.arrive()
        value = super().read(offset)
        self.digest.read(self._exact.count, offset, value)
        self._exact.leave()
        return value

    def write(self, offset: int, value: int) -> None:
        self._exact.arrive()
        self.digest.write(self._exact.count, offset, value)
        super().write(offset, value)
        self._exact.leave()

    def _carry(self, irq: IrqBlock) -> None:
        self._exact.call_later(self._exact.latencies.next(f"irq {irq.name}"), partial(self._deliver, irq))

    def _deliver(self, irq: IrqBlock) -> None:
        fd = irq.fd
        if fd is None:  # disconnected meanwhile
            return
        self.digest.interrupt(self._exact.count, irq.name)
        os.eventfd_write(fd, 1)
        for _ in range(PATIENCE):
            self.round_trip()
            if not select.select([fd], (), (), 0)[0]:
                break
        else:
            raise RuntimeError(f"the client does not take the interrupt of line {irq.name}")
        self.round_trip()  # the client had read the interrupt; after this it has also acted on it


def _nobody() -> None:
    raise RuntimeError("an interrupt without a client")
