# SPDX-License-Identifier: GPL-2.0-or-later
"""All address spaces of one GPU, and what happens to them together."""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.bus import BusMaster
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.generation import AddressSpaces
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.misbehave import Misbehaviour
from panthorlab.gpu.mmu.unit import AddressSpace
from panthorlab.gpu.mmu.walk import FaultCode
from panthorlab.gpu.ram import GuestRam
from panthorlab.gpu.trace import Trace


class Mmu:
    """The address spaces and their interrupt block. `bus_fault` is called for physical addresses without RAM."""

    def __init__(
        self,
        facts: AddressSpaces,
        ram: GuestRam,
        bus: BusMaster,
        irq: IrqBlock,
        reporter: Reporter,
        trace: Trace,
        bus_fault: Callable[[int], None],
        misbehaviour: Misbehaviour,
        now: Callable[[], float],
        overflow: str = "size",
    ) -> None:
        code = FaultCode.ADDR_SIZE_IN if overflow == "size" else FaultCode.TRANSLATION
        self.spaces = [
            AddressSpace(facts, i, ram, bus, irq, reporter, trace, code, bus_fault, misbehaviour, now)
            for i in range(facts.count)
        ]

    def reset(self) -> None:
        for space in self.spaces:
            space.reset()

    def forget(self) -> None:
        """Drop all cached translations: guest RAM was mapped or unmapped."""
        for space in self.spaces:
            space.forget()

    def cleaned(self) -> None:
        """The GPU's caches were written back."""
        for space in self.spaces:
            space.cleaned()
