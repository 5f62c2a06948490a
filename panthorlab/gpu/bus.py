# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the GPU may access memory at all: Bus Master Enable of its PCI function.

Linux clears it before kexec and leaves the rest of the function alone (pci_device_shutdown), so that nothing of the old
kernel writes into the new one. A GPU that wants to all the same was not quiesced: a GPU without a PCI function around
it, as on every SoC, would have done it. QEMU clears it too when the machine is reset, together with memory decoding.
"""

from __future__ import annotations

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.pci import BUS_MASTER, MEMORY_SPACE

SHUTDOWN = "dma-after-shutdown"


class BusMaster:
    """Memory accesses while not `enabled` do not happen; `refuse` says so once per kind of access and shutdown.

    Enabled until a command register is written: a GPU on a bench has no PCI function.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.enabled = True
        self._reporter = reporter
        self._shut_down = False
        self._reported: set[str] = set()

    def command(self, value: int) -> bool:
        """The PCI command register now holds `value`. Returns whether that changes what may be accessed."""
        was, self.enabled = self.enabled, bool(value & BUS_MASTER)
        if self.enabled:
            self._reported.clear()
            self._shut_down = False
        elif was:
            self._shut_down = bool(value & MEMORY_SPACE)
        elif not value & MEMORY_SPACE:
            self._shut_down = False
        return was is not self.enabled

    def refuse(self, kind: str, where: str) -> None:
        """An access of this `kind` is not made."""
        if kind in self._reported:
            return
        self._reported.add(kind)
        if self._shut_down:
            self._reporter.once(
                SHUTDOWN,
                kind,
                f"the GPU went on using memory after kexec, for panthor was not unbound: {kind} at {where} was stopped",
            )
        else:
            self._reporter.check("no bus master", f"{kind} at {where}, and the function may not access memory")
