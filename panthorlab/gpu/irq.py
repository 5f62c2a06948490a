# SPDX-License-Identifier: GPL-2.0-or-later
"""One interrupt block (GPU, JOB or MMU): RAWSTAT, CLEAR, MASK, STAT, a level line, and the edge that MSI-X needs."""

from __future__ import annotations

import os
from collections.abc import Callable

IrqWatch = Callable[[str, bool], None]


class IrqBlock:
    """The line is high while RAWSTAT & MASK. An MSI is an edge: one message each time the line goes up."""

    __slots__ = ("_watch", "carry", "cleared", "fd", "intercept", "level", "mask", "name", "raised", "raw")

    def __init__(self, name: str, watch: IrqWatch | None = None) -> None:
        self.name = name
        self.raw = 0
        self.mask = 0
        self.level = False
        self.raised = 0  # messages sent
        self.fd: int | None = None
        """The eventfd that messages are sent to."""
        self._watch = watch
        self.intercept: Callable[[IrqBlock], bool] | None = None
        """Called before each message; True: do not send it (now)."""
        self.cleared: Callable[[IrqBlock, int], int] | None = None
        """Called with pending bits when the guest clears them; returns those that are raised again at once."""
        self.carry: Callable[[IrqBlock], None] | None = None
        """Delivers a message to `fd`, maybe later; None: messages are sent at once."""

    def connect(self, fd: int | None) -> None:
        """Take ownership of an eventfd (None: disconnect). A line that is already high sends a message at once."""
        if self.fd is not None:
            os.close(self.fd)
        self.fd = fd
        if self.level:
            self.trigger()

    def set(self, bits: int) -> None:
        """The hardware raises `bits`."""
        self.raw |= bits
        self._update()

    def drop(self, bits: int) -> None:
        """The hardware clears `bits` (reset)."""
        self.raw &= ~bits
        self._update()

    def write_clear(self, bits: int) -> None:
        """Register CLEAR. Bits that are still pending interrupt again, as a level line would."""
        pending = self.raw & bits
        self.raw &= ~bits
        if pending and self.cleared is not None:
            self.raw |= self.cleared(self, pending)
        if self.level and self.raw & self.mask:
            self.trigger()
        else:
            self._update()

    def write_mask(self, mask: int) -> None:
        """Register MASK."""
        self.mask = mask
        self._update()

    def trigger(self) -> None:
        """Send a message regardless of the line level, unless intercepted (also for SET_IRQS with DATA_NONE)."""
        if self.intercept is None or not self.intercept(self):
            self.send()

    def send(self) -> None:
        """Send the message without asking `intercept`."""
        if self.fd is None:
            return
        self.raised += 1
        if self.carry is not None:
            self.carry(self)
        else:
            os.eventfd_write(self.fd, 1)

    def _update(self) -> None:
        level = bool(self.raw & self.mask)
        if level is self.level:
            return
        self.level = level
        if self._watch is not None:
            self._watch(self.name, level)
        if level:
            self.trigger()
