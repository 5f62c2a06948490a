# SPDX-License-Identifier: GPL-2.0-or-later
"""Power control of the cores. A generation selects a `PowerStrategy`; this one is for architectures 10 to 13, with one
register for each kind of core and direction (architecture 14 and later have a separate block, PWR_CONTROL)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from panthorlab.gpu.irq import IrqBlock
from panthorlab.gpu.loop import Timers
from panthorlab.gpu.misbehave import Misbehaviour
from panthorlab.gpu.registers import GpuIrq
from panthorlab.gpu.trace import Trace

Read = Callable[[], int]
Write = Callable[[int], None]


@dataclass(frozen=True)
class Domains:
    """Bit masks of the present and of the powered cores of one GPU, by kind (`SHADER`, `TILER`, `L2`). Call `switched`
    with the kind after switching cores."""

    present: Mapping[str, int]
    powered: dict[str, int]
    switched: Callable[[str], None]
    loop: Timers
    irq: IrqBlock
    trace: Trace
    misbehaviour: Misbehaviour


class PowerControl(Protocol):
    """The driver's interface to power: register handlers by register name."""

    @property
    def reads(self) -> Mapping[str, Read]: ...

    @property
    def writes(self) -> Mapping[str, Write]: ...


PowerStrategy = Callable[[Domains], PowerControl]


class CorePower:
    """Registers READY, PWRON and PWROFF of each kind of core."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self.reads: dict[str, Read] = {}
        self.writes: dict[str, Write] = {}
        for core in domains.present:
            self.reads[f"{core}_READY_LO"] = partial(domains.powered.__getitem__, core)
            self.writes[f"{core}_PWRON_LO"] = partial(self._request, core, True)
            self.writes[f"{core}_PWROFF_LO"] = partial(self._request, core, False)

    def _request(self, core: str, on: bool, bits: int) -> None:
        wrong = self._domains.misbehaviour
        if wrong.strikes("power-lost", core=core.lower()):
            return
        if rule := wrong.strikes("power-late", core=core.lower()):
            self._domains.loop.call_later(rule.seconds, partial(self._switch, core, on, bits))
        else:
            self._switch(core, on, bits)

    def _switch(self, core: str, on: bool, bits: int) -> None:
        domains = self._domains
        powered = domains.powered
        powered[core] = powered[core] | bits & domains.present[core] if on else powered[core] & ~bits
        domains.trace.counter("GPU", "power", **powered)
        domains.switched(core)
        domains.irq.set(GpuIrq.POWER_CHANGED | GpuIrq.POWER_CHANGED_ALL)
