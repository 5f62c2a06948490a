# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of one CSG slot: how the group on it and its streams tell the driver that something happened."""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.fw.ports import McuPort
from panthorlab.gpu.layout import Csg, CsgIn, CsgOut


class SlotEvents:
    """`block_in`, `block_out`: the interface blocks of the slot."""

    def __init__(self, mcu: McuPort, index: int, block_in: int, block_out: int) -> None:
        self._mcu, self._index = mcu, index
        self._in, self._out = block_in, block_out

    def raise_event(self, bit: int) -> None:
        """Raise a CSG event. No effect while the driver has not acknowledged the previous one."""
        self.deliver(Csg.EVENT_NAMES[bit], lambda: self._toggle(bit))

    def deliver(self, name: str, raise_: Callable[[], None], alive: Callable[[], bool] = lambda: True) -> None:
        """Raise an event of the group or of one of its streams; misdeeds may drop or delay it. A delayed event is
        raised only if `alive()` then: the firmware raises no event for a group or stream that has left the slot."""
        chip = self._mcu.chip
        if chip.misbehaviour.strikes("event-lost", self._index, event=name):
            return
        if rule := chip.misbehaviour.strikes("event-late", self._index, event=name):
            chip.loop.call_later(rule.seconds, lambda: raise_() if self._mcu.alive and alive() else None)
        else:
            raise_()

    def _toggle(self, bit: int) -> None:
        memory = self._mcu.memory
        ack = memory.get(self._out + CsgOut.ACK)
        if not (ack ^ memory.get(self._in + CsgIn.REQ)) & bit:
            memory.put(self._out + CsgOut.ACK, ack ^ bit)
            self._mcu.chip.job_irq.set(1 << self._index)
