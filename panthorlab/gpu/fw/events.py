# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of one CSG slot: how the group on it and its streams tell the driver that something happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.fw.ports import McuPort
from panthorlab.gpu.layout import Csg, CsgIn, CsgOut


@dataclass(eq=False, slots=True)
class _Late:
    """An event of the group that is yet to be raised."""

    bit: int
    timer: TimerHandle | None = None


class SlotEvents:
    """`block_in`, `block_out`: the interface blocks of the slot."""

    def __init__(self, mcu: McuPort, index: int, block_in: int, block_out: int) -> None:
        self._mcu, self._index = mcu, index
        self._request, self._ack = block_in + CsgIn.REQ, block_out + CsgOut.ACK
        self._late: list[_Late] = []

    def raise_event(self, bit: int) -> None:
        """Raise a CSG event. No effect while the driver has not acknowledged the previous one."""
        if not self._mcu.chip.misbehaviour.watched:  # streams may do this at each of their sync objects
            self._toggle(bit)
            return
        seconds = self._delay(Csg.EVENT_NAMES[bit])
        if seconds:
            late = _Late(bit)
            late.timer = self._mcu.chip.loop.call_later(seconds, lambda: self._raise_late(late))
            self._late.append(late)
        elif seconds is not None:
            self._toggle(bit)

    def deliver(self, name: str, raise_: Callable[[], None], alive: Callable[[], bool]) -> None:
        """Raise an event of a stream; misdeeds may drop or delay it. A delayed one is raised only if `alive()` then:
        the firmware raises no event for a stream that has left the slot."""
        if (seconds := self._delay(name)) is not None:
            if seconds:
                self._mcu.chip.loop.call_later(seconds, lambda: raise_() if self._mcu.alive and alive() else None)
            else:
                raise_()

    def leave(self) -> None:
        """The group leaves the slot. What is late of its events is raised now: they would be lost with it, and after
        the acknowledgement no driver reckons with an event of an empty slot."""
        for late in tuple(self._late):
            if late.timer is not None:
                late.timer.cancel()
            self._raise_late(late)

    def forget(self) -> None:
        """The MCU stops: what is late is never raised."""
        for late in self._late:
            if late.timer is not None:
                late.timer.cancel()
        self._late.clear()

    def _delay(self, name: str) -> float | None:
        """By how much an event is late; None: it is lost."""
        misbehaviour = self._mcu.chip.misbehaviour
        if misbehaviour.strikes("event-lost", self._index, event=name):
            return None
        rule = misbehaviour.strikes("event-late", self._index, event=name)
        return rule.seconds if rule else 0.0

    def _raise_late(self, late: _Late) -> None:
        self._late.remove(late)
        if self._mcu.alive:
            self._toggle(late.bit)

    def _toggle(self, bit: int) -> None:
        memory = self._mcu.memory
        ack = memory.get(self._ack)
        if not (ack ^ memory.get(self._request)) & bit:
            memory.put(self._ack, ack ^ bit)
            self._mcu.chip.job_irq.set(1 << self._index)
