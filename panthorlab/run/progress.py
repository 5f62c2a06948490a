# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress on stderr: one line that renews itself on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from panthorlab.run.record import BootEnd, BootStart, Doing, Event, Iteration, Note, OfBoot, Quota
from panthorlab.text import readable


class RunProgress(Protocol):
    """What a run wants of a display; see `ProgressDisplay`."""

    def step(self, step: str, done: int | None = None, total: int | None = None, /) -> None: ...
    def event(self, event: Event) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self) -> None: ...


class ProgressDisplay:
    """Shows steps as they happen; what is of others in them cannot command the terminal. Thread-safe. `quiet` shows
    nothing."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet, self._stream = quiet, stream or sys.stderr
        self._tty = self._stream.isatty()
        self._console = Console(file=self._stream, markup=False, highlight=False, emoji=False)
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._lock = threading.Lock()
        self._step = ""
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
            case Doing():
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

    def live(self, text: str) -> None:
        """A line that renews itself; nothing where there is no terminal."""
        self._show(text, new=False)

    def note(self, text: str) -> None:
        """What is worth knowing of the run, in a line that stays."""
        self.line(f"note   {text}")

    def line(self, text: str) -> None:
        """A line that stays."""
        text = readable(text)
        with self._lock:
            if self._quiet:
                return
            if self._live is not None:  # which knows how to print above the line that renews itself
                self._console.print(text, soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)

    def finish(self) -> None:
        """Leave the terminal clean."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
                atexit.unregister(self.finish)

    def _show(self, text: str, *, new: bool) -> None:
        text = readable(text)
        with self._lock:
            if self._quiet:
                return
            if self._tty:
                self._renew(Text(text))
            elif new:
                print(text, file=self._stream, flush=True)

    def _renew(self, line: Text) -> None:
        line.truncate(max(self._console.width - len("* ") - 1, 1), overflow="ellipsis")
        self._spinner.update(text=line)
        if self._live is None:
            atexit.register(self.finish)  # an error that nobody expects must not leave a terminal without its cursor
            self._live = Live(  # stdout is the verdict's, and may be a file
                self._spinner,
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                refresh_per_second=10,
            )
            self._live.start()


@dataclass(frozen=True)
class SharedProgress:
    """One of several runs at once in the display of all: `name` stands before what it says, and before its boots."""

    display: ProgressDisplay
    name: str

    def step(self, step: str, done: int | None = None, total: int | None = None, /) -> None:
        self.display.step(f"{self.name}: {step}", done, total)

    def event(self, event: Event) -> None:
        if isinstance(event, Note):
            self.note(event.text)
        else:
            self.display.event(replace(event, boot=f"{self.name} {event.boot}") if isinstance(event, OfBoot) else event)

    def note(self, text: str) -> None:
        self.display.note(f"{self.name}: {text}")

    def finish(self) -> None:
        """Not yet: the others go on."""
