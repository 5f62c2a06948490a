# SPDX-License-Identifier: GPL-2.0-or-later
"""Console output of the kernel under test: from when it got control until its successor's first output."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panthorlab.board.console import ConsoleLine, LineSplitter, readable
from panthorlab.board.panic import PanicWatcher

_TAIL: Final = 40


@dataclass
class Watch:
    """A console listener that `begin` restarts; before that it watches a kernel that is already running.

    `start`: offset in the console log where the kernel's output begins. `began`: host CLOCK_MONOTONIC, seconds.
    `on_death`: called once, in a thread of its own, when the console shows that the kernel has panicked or is gone.
    """

    anchors = PanicWatcher.anchors
    console_log: Path
    panic: PanicWatcher = field(default_factory=lambda: PanicWatcher(running=True))
    start: int = 0
    began: float = field(default_factory=time.monotonic)
    on_death: Callable[[], object] | None = None
    marked: bool = False
    """Whether this kernel has left a mark in memory that survives a reset."""
    _running: bool = True

    def begin(self) -> None:
        """The kernel under test is about to be started."""
        self.start = self.console_log.stat().st_size
        self.began = time.monotonic()
        self.panic, self._running, self.marked = PanicWatcher(), False, False

    @property
    def dead(self) -> bool:
        """Whether the console shows that the kernel has ended."""
        return self.panic.panic is not None or self.panic.rebooted is not None

    def __call__(self, line: ConsoleLine) -> None:
        self.panic(line)
        if self.dead and (tell := self.on_death) is not None:
            self.on_death = None
            threading.Thread(target=tell, name="kernel-died", daemon=True).start()

    def words(self) -> bytes:
        """This kernel's console output, up to the reset that ended it."""
        with self.console_log.open("rb") as file:
            file.seek(self.start)
            recent = file.read()
        again = PanicWatcher(running=self._running)
        words = bytearray()
        for text in recent.splitlines(keepends=True):
            again(ConsoleLine(self.began, text.rstrip(b"\r\n")))
            if again.rebooted is not None:
                break
            words += text
        return bytes(words)

    def tail(self) -> str:
        """The end of `words`, for people."""
        lines = LineSplitter().feed(self.words() + b"\n", self.began)
        return "\n".join(readable(line.text) for line in lines[-_TAIL:]).strip("\n")
