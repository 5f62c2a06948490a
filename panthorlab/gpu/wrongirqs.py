# SPDX-License-Identifier: GPL-2.0-or-later
"""The misdeeds of interrupts: lost, late, sent twice, raised again as often as they are cleared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import Timers
from panthorlab.gpu.misbehave import Misbehaviour

FIRMWARES: Final = "job"
"""The block whose interrupts are the firmware's."""


class WrongInterrupts:
    """Stands between the interrupt blocks of one GPU and the guest. `firmware_runs`: whether there is who could raise
    an interrupt of the firmware."""

    def __init__(
        self, irqs: Iterable[IrqBlock], misbehaviour: Misbehaviour, loop: Timers, firmware_runs: Callable[[], bool]
    ) -> None:
        self._misbehaviour, self._loop, self._firmware_runs = misbehaviour, loop, firmware_runs
        for irq in irqs:
            irq.intercept, irq.cleared = self._intercept, self._cleared

    def _intercept(self, irq: IrqBlock) -> bool:
        """True: do not send this interrupt message now."""
        wrong = self._misbehaviour
        if wrong.strikes("irq-lost", line=irq.name):
            return True
        if rule := wrong.strikes("irq-late", line=irq.name):
            self._loop.call_later(rule.seconds, irq.send)
            return True
        if rule := wrong.strikes("irq-twice", line=irq.name):
            self._loop.call_later(rule.seconds, irq.send)
        return False

    def _cleared(self, irq: IrqBlock, bits: int) -> int:
        """What of the pending `bits`, which the driver clears, is raised again at once."""
        if not self._can_raise(irq) or not (rule := self._misbehaviour.strikes("irq-storm", line=irq.name)):
            return 0
        if not rule.seconds:
            return bits
        self._loop.call_later(rule.seconds, partial(self._raise_again, irq, bits))
        return 0

    def _raise_again(self, irq: IrqBlock, bits: int) -> None:
        if self._can_raise(irq):
            irq.set(bits)

    def _can_raise(self, irq: IrqBlock) -> bool:
        return irq.name != FIRMWARES or self._firmware_runs()
