# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a kernel from its console lines: started, oopsed, hung, panicked, rebooted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from panthorlab.board.console import ConsoleLine
from panthorlab.kmsg.heads import CRASH_HINTS, HANGS, OOPSES, crash
from panthorlab.kmsg.lines import LineCleaner
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import parse_line

# arm64 prints the first alternative first; the second needs a time stamp, so that `cat /proc/version` does not match.
_KERNEL = re.compile(rb"(Booting Linux on physical CPU )|\[ {0,8}0\.0+\] ?(?:\[ {0,6}[TC]\d+\] ?)?(Linux version )\d")
_FIRMWARE = re.compile(rb"^(?:\W{0,4}|<debug_uart>\W{0,4})U-Boot (?:SPL |TPL |VPL )?20\d\d\.")

KERNEL_START = _KERNEL
"""A kernel's first line."""
FIRST_WORDS = re.compile(rb"%s|%s" % (_FIRMWARE.pattern, _KERNEL.pattern))
"""A board's first output after a reset: the firmware's banner or, if that is silent, a kernel's first line."""

_CRASHES = tuple(hint.encode() for hint in CRASH_HINTS)


class PanicWatcher:
    """A console listener for one kernel; create it before that kernel starts. `on_panic` is called once, in the
    reader's thread."""

    anchors = (*_CRASHES, b"Linux", b"U-Boot")
    """Lines with none of these are irrelevant."""

    def __init__(self, on_panic: Callable[[], object] = lambda: None, *, running: bool = False) -> None:
        """`running`: the kernel is already running, so that any start seen is a reboot."""
        self._on_panic = on_panic
        self._starts = [1, 1] if running else [0, 0]
        self.panic: str | None = None
        """The kernel's message of its first panic."""
        self.panic_time: float | None = None
        self.oops: str | None = None
        """The first oops or KASAN report: the line that names it."""
        self.hang: str | None = None
        """The kernel's first report of a hang: hung task, lockup, RCU stall."""
        self.firmware: float | None = None
        """When U-Boot (or its SPL) last printed its banner; host time as in `ConsoleLine`."""
        self.kernel_started: float | None = time.monotonic() if running else None
        """When a kernel printed its first line."""
        self.rebooted: float | None = None
        """When firmware or another kernel started after that: a reboot, a silent one if there was no `panic`."""

    def __call__(self, line: ConsoleLine) -> None:
        text = line.text
        if b"Linux" in text:
            self._see_kernel(line)
        if b"U-Boot" in text:
            self._see_firmware(line)
        if any(hint in text for hint in _CRASHES):
            self._see_crash(line)

    def _see_crash(self, line: ConsoleLine) -> None:
        for record in parse_line(LineCleaner().feed(line.text + b"\n").rstrip(), 0):
            kind, what = crash(record) or (None, "")
            if kind is Kind.PANIC and self.panic is None:
                self.panic, self.panic_time = what.rstrip().removesuffix(" ]---"), line.time
                self._on_panic()
            elif kind in HANGS and self.hang is None:
                self.hang = line.text.decode("utf-8", "replace")
            elif kind in OOPSES and self.oops is None:
                self.oops = line.text.decode("utf-8", "replace")

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
