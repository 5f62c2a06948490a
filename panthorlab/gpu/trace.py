# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace for Perfetto or chrome://tracing (JSON array of trace events), for example to inspect the seed race.

A track is a row, e.g. `CSG 0` or `AS 1`. Times are CLOCK_MONOTONIC, as in the host's other logs, or guest time in
exact time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Protocol, TextIO

PROCESS = 1
MOST_EVENTS = 2_000_000  # then the trace stops growing and records that


class Trace(Protocol):
    """The trace as the parts of the model use it."""

    @property
    def on(self) -> bool:
        """Whether anything is recorded."""

    def begin(self, track: str, name: str, **args: object) -> None:
        """Begin a span on a track; spans nest."""

    def end(self, track: str, **args: object) -> None:
        """End the innermost span of the track."""

    def instant(self, track: str, name: str, **args: object) -> None:
        """Record an instant event."""

    def counter(self, track: str, name: str, **values: int) -> None:
        """Record counter values, which are drawn as a curve."""

    def close(self) -> None:
        """Complete the file. Later calls record nothing."""


class NoTrace:
    """Records nothing."""

    on = False

    def begin(self, track: str, name: str, **args: object) -> None: ...

    def end(self, track: str, **args: object) -> None: ...

    def instant(self, track: str, name: str, **args: object) -> None: ...

    def counter(self, track: str, name: str, **values: int) -> None: ...

    def close(self) -> None: ...


class TraceOfGpu:
    """The trace of one of several GPUs in the file of all: its tracks have its number."""

    def __init__(self, trace: Trace, gpu: int) -> None:
        self._trace, self._whose = trace, f"GPU{gpu} "

    @property
    def on(self) -> bool:
        return self._trace.on

    def begin(self, track: str, name: str, **args: object) -> None:
        self._trace.begin(self._whose + track, name, **args)

    def end(self, track: str, **args: object) -> None:
        self._trace.end(self._whose + track, **args)

    def instant(self, track: str, name: str, **args: object) -> None:
        self._trace.instant(self._whose + track, name, **args)

    def counter(self, track: str, name: str, **values: int) -> None:
        self._trace.counter(self._whose + track, name, **values)

    def close(self) -> None:
        self._trace.close()


class ChromeTrace:
    """Writes events as they happen. `close` ends all open spans and makes the file valid JSON."""

    def __init__(self, file: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: clock of the trace in seconds."""
        self.on = True
        self._now = now
        self._file = file
        self._tracks: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._count = 0
        name = {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": "Mali-G610 (emulated)"}}
        file.write("[\n" + json.dumps(name))

    def begin(self, track: str, name: str, **args: object) -> None:
        if self.on:
            self._open[track] = self._open.get(track, 0) + 1
            self._emit("B", track, {"name": name, "args": args})

    def end(self, track: str, **args: object) -> None:
        if self.on and self._open.get(track, 0):
            self._open[track] -= 1
            self._emit("E", track, {"args": args})

    def instant(self, track: str, name: str, **args: object) -> None:
        if self.on:
            self._emit("i", track, {"name": name, "s": "t", "args": args})

    def counter(self, track: str, name: str, **values: int) -> None:
        if self.on:
            self._emit("C", track, {"name": f"{track} {name}", "args": values})

    def close(self) -> None:
        if not self.on:
            return
        for track, depth in self._open.items():
            for _ in range(depth):
                self._emit("E", track, {})
        self.on = False
        self._file.write("\n]\n")
        self._file.close()

    def _emit(self, phase: str, track: str, event: dict[str, object]) -> None:
        tid = self._tracks.get(track)
        if tid is None:
            tid = self._tracks[track] = len(self._tracks) + 1
            self._line({"ph": "M", "pid": PROCESS, "tid": tid, "name": "thread_name", "args": {"name": track}})
        self._line({"ph": phase, "ts": self._now() * 1e6, "pid": PROCESS, "tid": tid, **event})
        self._count += 1
        if self._count == MOST_EVENTS:
            self._line(
                {"ph": "i", "ts": self._now() * 1e6, "pid": PROCESS, "tid": tid, "s": "g", "name": "the trace is full"}
            )
            self.close()

    def _line(self, event: dict[str, object]) -> None:
        self._file.write(",\n" + json.dumps(event, separators=(",", ":")))
