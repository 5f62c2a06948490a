# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the GPU share: settings, time, chance, reporting, interrupts, the MMU, the flush counter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import Timers
from panthorlab.gpu.misbehave import Misbehaviour
from panthorlab.gpu.mmu.spaces import Mmu
from panthorlab.gpu.params import Params
from panthorlab.gpu.trace import Trace


class Clock:
    """The two counters of the GPU: they start when the model is made (QEMU's virtual time starts right after)."""

    def __init__(self, now: Callable[[], float], timestamp_hz: int, cycle_hz: int) -> None:
        self._now = now
        self.origin = now()  # model time in seconds at which both counters are 0
        self.timestamp_hz, self.cycle_hz = timestamp_hz, cycle_hz

    def timestamp(self) -> int:
        """Register TIMESTAMP: system counter ticks."""
        return int((self._now() - self.origin) * self.timestamp_hz)

    def cycles(self) -> int:
        """Register CYCLE_COUNT: GPU core clock ticks."""
        return int((self._now() - self.origin) * self.cycle_hz)


@dataclass
class Chip:
    """One per model. `latest_flush` and `powered` are state of the whole GPU."""

    generation: Generation
    params: Params
    reporter: Reporter
    trace: Trace
    loop: Timers
    random: random.Random
    clock: Clock
    gpu_irq: IrqBlock
    job_irq: IrqBlock
    mmu_irq: IrqBlock
    mmu: Mmu
    misbehaviour: Misbehaviour
    gpu_fault: Callable[[int, int], None]
    """Raise GPU_FAULT: exception type, physical address."""
    latest_flush: int = 1
    guest_waited: Callable[[], float] = lambda: 0.0
    """Total seconds for which the guest was ready but not run by the host; see `starved`."""
    powered: dict[str, int] = field(default_factory=dict)
    """Bit mask of the powered cores, by kind; see `Generation.cores`."""

    def __post_init__(self) -> None:
        self.powered.update(dict.fromkeys(self.generation.cores, 0))

    def flush_caches(self) -> None:
        """A full clean and invalidate completed: increment LATEST_FLUSH (24 bits, 0 is skipped)."""
        self.latest_flush = self.latest_flush % 0xFFFFFF + 1
        self.mmu.cleaned()
