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
from panthorlab.gpu.exact.digest import Digest, place_of
from panthorlab.gpu.exact.loop import ExactLoop, LoopOfGpu, name_of, of_gpu
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import Callback
from panthorlab.gpu.params import Params
from panthorlab.gpu.trace import Trace

PATIENCE = 10_000
"""Maximum round trips until the client has taken an interrupt; usually one or two are enough."""


class ExactGpu(GpuDevice):
    """`digest`: records all accesses and interrupts. `round_trip`: returns after the client processed all messages.
    `number`: of several GPUs, which share a loop, a digest and an order, each has its own."""

    def __init__(
        self,
        generation: Generation,
        params: Params,
        reporter: Reporter,
        trace: Trace,
        loop: ExactLoop,
        seed: int | str,
        digest: Digest,
        number: int = 0,
    ) -> None:
        super().__init__(generation, params, reporter, trace, LoopOfGpu(loop, number), seed)
        self.digest = digest
        self._number, self._whose, self._place = number, of_gpu(number), place_of(number)
        self.round_trip: Callable[[], None] = _nobody
        self._exact, self._orders = loop, loop.orders
        self._texts = _Texts(lambda offset: self.register_name(offset) + self._whose)
        self._stores = 0
        if self._orders is not None or digest.recording:
            loop.acted.append(self._acted)
        for irq in self.irqs:
            irq.carry = self._carry

    def read(self, offset: int) -> int:
        self._exact.arrive()
        value = super().read(offset)
        self.digest.read(self._exact.count, self._place | offset, value)
        if self._orders is not None:
            self._orders.note(self._texts[offset], self._exact.count)
        self._exact.leave()
        return value

    def write(self, offset: int, value: int) -> None:
        self._exact.arrive()
        self.digest.write(self._exact.count, self._place | offset, value)
        if self._orders is not None:
            self._orders.note(self._texts[~offset], self._exact.count)
        super().write(offset, value)
        self._exact.leave()

    def mark(self, mark: int, *, begin: bool) -> None:
        super().mark(mark, begin=begin)
        count = self._exact.count
        if begin:
            window = self._exact.latencies.begin()
            if self._orders is not None:
                self._orders.begin(window, mark, count)
        else:
            self._exact.latencies.end()
            if self._orders is not None:
                self._orders.end(mark, count)

    def _acted(self, call: Callback) -> None:
        """An action of a GPU is over: if this one has written into memory, the guest can see that from here on."""
        if not self._number:  # all GPUs hear of it, and one writes it down
            self.digest.timer(self._exact.count, name_of(call))
        if self._orders is not None and self.ram.stores != self._stores:
            self._orders.note(f"D {name_of(call)}{self._whose}", self._exact.count)
        self._stores = self.ram.stores

    def _carry(self, irq: IrqBlock) -> None:
        self._exact.act_later(f"irq {irq.name}{self._whose}", partial(self._deliver, irq))

    def _deliver(self, irq: IrqBlock) -> None:
        fd = irq.fd
        if fd is None:  # disconnected meanwhile
            return
        line = f"{irq.name}{self._whose}"
        self.digest.interrupt(self._exact.count, line)
        if self._orders is not None:
            self._orders.note(f"I {line}", self._exact.count)
        os.eventfd_write(fd, 1)
        for _ in range(PATIENCE):
            self.round_trip()
            if not select.select([fd], (), (), 0)[0]:
                break
        else:
            raise RuntimeError(f"the client does not take the interrupt of line {line}")
        self.round_trip()  # the client had read the interrupt; after this it has also acted on it


class _Texts(dict[int, str]):
    """The words for accesses, by offset; of writes, by its complement."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self._name = name

    def __missing__(self, key: int) -> str:
        text = self[key] = f"R {self._name(key)}" if key >= 0 else f"W {self._name(~key)}"
        return text


def _nobody() -> None:
    raise RuntimeError("an interrupt without a client")
