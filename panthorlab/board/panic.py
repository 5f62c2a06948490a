# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lines of a console tell about the life of a kernel: started, oopsed, hung, panicked, started anew."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from panthorlab.board.console import ConsoleLine

_PANIC = re.compile(rb"Kernel panic - not syncing: (.*?)(?: \]---)?$")
_OOPS = re.compile(rb"Internal error: |Unable to handle kernel |kernel BUG at |Oops: ")
_HANG = re.compile(
    rb"INFO: task .{1,64} blocked for more than \d+ seconds|watchdog: BUG: soft lockup - |[Hh]ard LOCKUP on cpu"
    rb"|rcu: INFO: .{1,64} (?:detected (?:expedited )?stalls|self-detected stall)")
# arm64 begins with the first; the second only as a kernel prints it, so that `cat /proc/version` does not count.
_KERNEL = re.compile(rb"(Booting Linux on physical CPU )|\[ {0,8}0\.0+\] ?(?:\[ {0,6}[TC]\d+\] ?)?(Linux version )\d")
_FIRMWARE = re.compile(rb"^(?:\W{0,4}|<debug_uart>\W{0,4})U-Boot (?:SPL |TPL |VPL )?20\d\d\.")

KERNEL_START = _KERNEL
"""A kernel's first line."""
FIRST_WORDS = re.compile(rb"%s|%s" % (_FIRMWARE.pattern, _KERNEL.pattern))
"""What a board says first after a reset: firmware's banner or, if that is silent, a kernel's first line."""

# A line with none of these says nothing.
_ANCHORS: tuple[tuple[bytes, str], ...] = (
    (b"Kernel panic", "_see_panic"),
    (b"Internal error: ", "_see_oops"),
    (b"handle kernel ", "_see_oops"),
    (b"kernel BUG at ", "_see_oops"),
    (b"Oops: ", "_see_oops"),
    (b"INFO: ", "_see_hang"),
    (b"ockup - ", "_see_hang"),
    (b"LOCKUP", "_see_hang"),
    (b"Linux", "_see_kernel"),
    (b"U-Boot", "_see_firmware"),
)


class PanicWatcher:
    """A listener of a console, for one kernel: make it before that kernel starts. `on_panic` runs in the reader's
    thread, once."""

    anchors = tuple(anchor for anchor, _ in _ANCHORS)

    def __init__(self, on_panic: Callable[[], object] = lambda: None, *, running: bool = False) -> None:
        """`running`: the kernel runs already, so that whatever starts is another."""
        self._on_panic = on_panic
        self._starts = [1, 1] if running else [0, 0]
        self.panic: str | None = None
        """Why the kernel panicked first, in its own words."""
        self.panic_time: float | None = None
        self.oops: str | None = None
        """The first oops: the line that names it."""
        self.hang: str | None = None
        """The first line by which the kernel said that something hangs: hung task, lockup, RCU stall."""
        self.firmware: float | None = None
        """When U-Boot (or its SPL) showed its banner last; host time as in `ConsoleLine`."""
        self.kernel_started: float | None = time.monotonic() if running else None
        """When a kernel printed its first line."""
        self.rebooted: float | None = None
        """When, after that, firmware or another kernel started: a reboot, a silent one if there was no `panic`."""

    def __call__(self, line: ConsoleLine) -> None:
        for anchor, see in _ANCHORS:
            if anchor in line.text:
                getattr(self, see)(line)

    def _see_panic(self, line: ConsoleLine) -> None:
        if self.panic is None and (found := _PANIC.search(line.text)):
            self.panic, self.panic_time = found[1].decode("utf-8", "replace"), line.time
            self._on_panic()

    def _see_oops(self, line: ConsoleLine) -> None:
        if self.oops is None and b"Kernel panic" not in line.text and _OOPS.search(line.text):
            self.oops = line.text.decode("utf-8", "replace")

    def _see_hang(self, line: ConsoleLine) -> None:
        if self.hang is None and _HANG.search(line.text):
            self.hang = line.text.decode("utf-8", "replace")

    def _see_kernel(self, line: ConsoleLine) -> None:
        if not (found := _KERNEL.search(line.text)):
            return
        for index in (0, 1):  # a kernel prints both, each once
            self._starts[index] += found[index + 1] is not None
        if self.kernel_started is None:
            self.kernel_started = line.time
        elif max(self._starts) > 1:
            self._reboot(line.time)

    def _see_firmware(self, line: ConsoleLine) -> None:
        if _FIRMWARE.search(line.text):
            self.firmware = line.time
            if self.kernel_started is not None:
                self._reboot(line.time)

    def _reboot(self, when: float) -> None:
        self.rebooted = when if self.rebooted is None else self.rebooted
