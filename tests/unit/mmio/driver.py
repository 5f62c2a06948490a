# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings by hand: what a driver did to registers, which are called by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.mmio.recording import RegisterAccess
from panthorlab.mmio.replay import RegisterDifference, Replay


@dataclass
class Driver:
    """Accesses one after the other, `pause` microseconds apart."""

    generation: Generation = G610
    pause: int = 10
    time: int = 0
    steps: list[RegisterAccess] = field(default_factory=list)

    def offset(self, name: str) -> int:
        return next(offset for offset, found, _ in self.generation.places() if found == name)

    def read(self, name: str, value: int, times: int = 1) -> None:
        """The board answered `value`, `times` times."""
        for _ in range(times):
            self._add(name, value, write=False)

    def write(self, name: str, value: int) -> None:
        self._add(name, value, write=True)

    def wait(self, microseconds: int) -> None:
        self.time += microseconds

    def _add(self, name: str, value: int, *, write: bool) -> None:
        self.steps.append(RegisterAccess(self.time, 0, "init-1", write, self.offset(name), value, "panthor_test+0x4"))
        self.time += self.pause

    def boot(self) -> None:
        """As after a probe: L2 on, MCU on, interrupts on."""
        self.write("L2_PWRON_LO", 1)
        self.read("L2_READY_LO", 1)
        self.write("GPU_INT_MASK", 0x20103)
        self.write("JOB_INT_CLEAR", 0xFFFFFFFF)
        self.write("JOB_INT_MASK", 0xFFFFFFFF)
        self.write("MCU_CONTROL", 2)
        self.read("JOB_INT_STAT", 1 << 31)
        self.read("JOB_INT_RAWSTAT", 1 << 31)
        self.write("JOB_INT_CLEAR", 1 << 31)

    def differences(self, generation: Generation | None = None) -> list[RegisterDifference]:
        """What a replay says of it."""
        return list(self.replayed(generation)[1])

    def replayed(self, generation: Generation | None = None) -> tuple[Replay, list[RegisterDifference]]:
        replay = Replay(generation or self.generation)
        return replay, list(replay.differences(self.steps))
