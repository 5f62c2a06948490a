# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress on stderr: one line that renews itself on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import Counter
from typing import TextIO

from panthorlab.run.record import BootEnd, BootStart, Event, Iteration, Note, Quota, Step


class Progress:
    """Shows steps as they happen. Thread-safe. `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet, self._stream = quiet, stream or sys.stderr
        self._tty = self._stream.isatty()
        self._lock = threading.Lock()
        self._shown_at = 0.0
        self._step = ""
        self._width = 0
        self._counts: Counter[str] = Counter()
        self._planned: Counter[str] = Counter()
        self._running: dict[str, str] = {}

    def step(self, step: str, done: int | None = None, total: int | None = None, /) -> None:
        """A step of sources, build or boot; `done` of `total` of it."""
        amount = ""
        if done is not None and total:
            amount = f" {100 * done // total:3d} %"
        elif done is not None:
            amount = f" {done}"
        new = step != self._step
        self._show(step + amount if self._tty else step, new=new)
        self._step = step

    def event(self, event: Event) -> None:
        """An event of the run's log, or a step of a worker."""
        match event:
            case Quota():
                self._planned[event.boot] += event.planned
            case Iteration():
                self._counts[event.boot] += 1
            case Step():
                self._running[event.boot] = event.text
            case Note():
                self.note(event.text)
                return
            case BootStart():
                self._running[event.boot] = "starting"
                if not self._tty:
                    self.line(f"boot {event.boot} starts")
            case BootEnd():
                self._running.pop(event.boot, None)
                if event.reason:
                    self.line(f"boot {event.boot}: {event.why}")
                elif not self._tty:
                    self.line(f"boot {event.boot} ended after {self._counts[event.boot]} iterations")
                return
            case _:
                return
        parts = []
        for boot, text in sorted(self._running.items()):
            planned = self._planned[boot]
            parts.append(f"{boot}: {self._counts[boot]}/{planned}" if planned else f"{boot}: {text}")
        self._show("running  " + "   ".join(parts), new=False)

    def note(self, text: str) -> None:
        """What is worth knowing of the run, in a line that stays."""
        self.line(f"note   {text}")

    def line(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            if self._quiet:
                return
            self._clear()
            print(text, file=self._stream, flush=True)

    def finish(self) -> None:
        """Leave the terminal clean."""
        with self._lock:
            self._clear()

    def _show(self, text: str, *, new: bool) -> None:
        with self._lock:
            if self._quiet:
                return
            now = time.monotonic()
            if self._tty:
                if new or now - self._shown_at > 0.1:
                    self._clear()
                    text = text[: shutil.get_terminal_size().columns - 1]
                    self._stream.write(text)
                    self._stream.flush()
                    self._width, self._shown_at = len(text), now
            elif new:
                print(text, file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._tty and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0
