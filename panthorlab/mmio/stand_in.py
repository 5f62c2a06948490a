# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated GPU without its memory: what firmware and user work would do there is told by a recording instead."""

from __future__ import annotations

import io

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.fw.mcu import Mcu
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.params import Params
from panthorlab.gpu.registers import McuStatus
from panthorlab.gpu.trace import NoTrace

STEPS = 10_000
"""Of the model, until what a command brings about has come; it takes a few."""


class McuStandIn(Mcu):
    """Starts and stops as the registers say; its firmware does nothing by itself."""

    def _boot(self) -> None:
        if self.chip.powered["L2"]:
            self._set_status(McuStatus.ENABLED)

    def ring(self, doorbell: int) -> None:
        """What the firmware is told is in memory."""

    def _keep_cache(self) -> None:
        """There is nothing to keep."""

    def status_is(self, status: int) -> None:
        """The firmware has halted, gone on, or died."""
        self._set_status(status)


class GpuOnBench(GpuDevice):
    """The GPU with that MCU."""

    mcu_type = McuStandIn


class Refusals(Reporter):
    """What the model was asked for and does not have, since it was asked the last time."""

    def __init__(self) -> None:
        super().__init__(log=io.StringIO())
        self._refused: list[str] = []

    def unmodelled(self, what: str, text: str) -> None:
        del what
        self._refused.append(text)

    def take(self) -> list[str]:
        refused, self._refused = self._refused, []
        return refused


class Bench:
    """One GPU with a clock of its own: time passes when it is told to."""

    def __init__(self, generation: Generation) -> None:
        self._now = 0.0
        self._loop = HostLoop(self._failed, lambda _late: None, now=lambda: self._now)
        self.refusals = Refusals()
        self.gpu = GpuOnBench(generation, Params.parse([]), self.refusals, NoTrace(), self._loop)

    @property
    def mcu(self) -> McuStandIn:
        mcu = self.gpu.mcu
        assert isinstance(mcu, McuStandIn)  # noqa: S101 - the class above says so
        return mcu

    @staticmethod
    def _failed(error: Exception) -> None:
        raise error

    def until(self, seconds: float) -> None:
        """Let time pass until then; what is past already does not come back."""
        for _ in range(STEPS):
            due = self._loop.due_in()
            if due is None or self._now + due > seconds:
                break
            self._pass(due)
        self._now = max(self._now, seconds)

    def next_event(self) -> bool:
        """Let time pass until something happens by itself; False if nothing will."""
        due = self._loop.due_in()
        if due is None:
            return False
        self._pass(due)
        return True

    def _pass(self, seconds: float) -> None:
        self._now += seconds
        self._loop.step(0)
