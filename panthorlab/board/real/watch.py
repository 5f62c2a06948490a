# SPDX-License-Identifier: GPL-2.0-or-later
"""The console since the kernel under test got control."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.board.console import ConsoleLine
from panthorlab.board.panic import PanicWatcher


@dataclass
class Watch:
    """A console listener that begins anew when `begin` is called; until then it watches a kernel that runs already.

    `start`: offset in the console log where the kernel's words begin. `began`: host CLOCK_MONOTONIC, seconds.
    """

    anchors = PanicWatcher.anchors
    console_log: Path
    panic: PanicWatcher = field(default_factory=lambda: PanicWatcher(running=True))
    start: int = 0
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """The kernel under test is about to be started."""
        self.start = self.console_log.stat().st_size
        self.began = time.monotonic()
        self.panic = PanicWatcher()

    def __call__(self, line: ConsoleLine) -> None:
        self.panic(line)
