# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the GPU may access memory at all: Bus Master Enable of its PCI function.

Before kexec, Linux clears only this bit (pci_device_shutdown), so that no device of the old kernel writes into the new
one. A GPU that still tries to access memory then was not quiesced: on an SoC, without a PCI function, the access would
succeed. QEMU also clears the bit, together with memory decoding, when the machine is reset.
"""

from __future__ import annotations

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.pci import BUS_MASTER, MEMORY_SPACE

SHUTDOWN = "dma-after-shutdown"


class BusMaster:
    """Memory accesses happen only while `enabled`; `refuse` reports others once per kind of access and shutdown.

    Enabled until a command register is written, since a GPU in a unit test has no PCI function.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.enabled = True
        self._reporter = reporter
        self._shut_down = False
        self._reported: set[str] = set()

    def command(self, value: int) -> bool:
        """The PCI command register now holds `value`. Returns whether `enabled` has changed."""
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
        """Report that an access of this `kind` was not made."""
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
