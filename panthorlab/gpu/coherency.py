# SPDX-License-Identifier: GPL-2.0-or-later
"""How the GPU takes part in the coherency of the CPU's caches: registers COHERENCY_FEATURES and COHERENCY_PROTOCOL.

Names and values are those of panthor_regs.h (Linux 7.3). Whoever described the board says whether the GPU is coherent
(`dma-coherent` in the device tree; here parameter `coherency`); a driver chooses a protocol before the L2 cache has
power. Caches themselves are not emulated, so a wrong choice loses nothing here: it is told.
"""

from __future__ import annotations

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.misbehave import Misbehaviour

ACE_LITE, NONE = 0, 31
"""What COHERENCY_PROTOCOL may be. ACE (1) is no command stream GPU's."""
PROTOCOLS = {"none": NONE, "ace-lite": ACE_LITE}
"""By the word of parameter `coherency`."""


class Coherency:
    """`word`: of parameter `coherency`. Call `l2_on` when the L2 cache is given power."""

    def __init__(self, word: str, reporter: Reporter, misbehaviour: Misbehaviour) -> None:
        self._right = PROTOCOLS[word]
        self._reporter, self._misbehaviour = reporter, misbehaviour
        self.protocol = 0
        self._chosen = False

    @property
    def coherent(self) -> bool:
        """Whether the board describes the GPU as coherent."""
        return self._right != NONE

    def features(self) -> int:
        """Register COHERENCY_FEATURES: bit n for protocol n."""
        if self._misbehaviour.strikes("coherency-lost") or not self.coherent:
            return 0
        return 1 << self._right

    def choose(self, protocol: int) -> None:
        """A write to COHERENCY_PROTOCOL."""
        self.protocol, self._chosen = protocol, True

    def reset(self) -> None:
        """The PCI function was reset. A reset by GPU_CMD keeps what was chosen."""
        self.protocol, self._chosen = 0, False

    def l2_on(self) -> None:
        """Drivers before 6.15 choose nothing, and so nothing wrong."""
        if self._chosen and self.protocol != self._right:
            self._reporter.misuse(
                "COHERENCY_PROTOCOL",
                f"the L2 cache was switched on with coherency protocol {self.protocol}, "
                f"where the board's is {self._right}",
            )
