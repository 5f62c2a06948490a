# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which guest and GPU act on each other in one iteration: its interleaving.

An event is a register access of the driver (`R NAME`, `W NAME`), an interrupt that the CPU gets (`I LINE`), or an
action of the GPU that has written into guest memory (`D ACTION`); the guest cannot see what it writes in parts. Of
accesses that repeat one right after the other (a poll) only the first counts: how many there are carries no order, and
neither do values and instruction counts.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, TextIO

FILE: Final = "gpu-orders.jsonl"
"""Its name beside the other logs of a boot."""


class Orders:
    """Writes a line of JSON for each iteration: `window`: its number, `mark`: what the guest calls it, `begin`, `end`:
    instruction counts, `digest` of the order, `events`: [[TEXT, COUNT], …], `latencies`: [[KIND, NUMBER, NANOSECONDS,
    COUNT when it was set], …]. Of an iteration that did not come to its end, `end` is null."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._window: int | None = None
        self._mark = self._begin = 0
        self._events: list[tuple[str, int]] = []
        self._latencies: list[tuple[str, int, int, int]] = []
        self._last = ""

    def begin(self, window: int, mark: int, count: int) -> None:
        """An iteration begins."""
        self.close()
        self._window, self._mark, self._begin = window, mark, count
        self._events, self._latencies, self._last = [], [], ""

    def end(self, mark: int, count: int) -> None:
        """It ends; of another one, or of none, this says nothing."""
        if mark == self._mark:
            self._write(count)

    def close(self) -> None:
        """What has begun will not end any more."""
        self._write(None)

    def _write(self, end: int | None) -> None:
        if self._window is None:
            return
        line = {
            "window": self._window,
            "mark": self._mark,
            "begin": self._begin,
            "end": end,
            "digest": digest_of([text for text, _ in self._events]),
            "events": self._events,
            "latencies": self._latencies,
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()
        self._window = None

    def note(self, text: str, count: int) -> None:
        """An event, at an instruction count."""
        if self._window is not None and text != self._last:
            self._events.append((text, count))
            self._last = text

    def latency(self, kind: str, number: int, ns: int, count: int) -> None:
        """The GPU will act after this latency."""
        if self._window is not None:
            self._latencies.append((kind, number, ns, count))

    def moved(self, kind: str, number: int, ns: int) -> None:
        """It acts after this latency instead."""
        for at, one in enumerate(self._latencies):
            if one[:2] == (kind, number):
                self._latencies[at] = kind, number, ns, one[3]


def digest_of(order: list[str]) -> str:
    """SHA-256 of an order, its first 32 hexadecimal digits."""
    return hashlib.sha256("\n".join(order).encode()).hexdigest()[:32]
