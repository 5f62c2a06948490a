# SPDX-License-Identifier: GPL-2.0-or-later
"""What the model has to say: events (JSON lines, one per occurrence), the log for people (one line per kind), counters.

Kinds of events: `unmodelled` (something asked for is not emulated: spoils the iteration), `model-error` (a bug of the
model: spoils the run), `dma-after-shutdown` (the GPU was at work when the kernel shut it down for kexec), `check` (a
self-check failed: the guest, or the model, did something odd), `misuse` (the driver did what real hardware would not
bear), `mmu-fault`, `write-out` (result of a heap context write-out), `injected` (a failure that was asked for strikes),
`late` (the host is overloaded), `counters` (once, at the end).
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import TextIO

MERGE_SECONDS = 0.001


class Histogram:
    """Durations in decades with three steps each: 1, 2, 5."""

    BOUNDS_US = tuple(step * 10**decade for decade in range(6) for step in (1, 2, 5))

    def __init__(self) -> None:
        self.count = 0
        self.most = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self.count += 1
        self.most = max(self.most, seconds)
        self._buckets[next((b for b in self.BOUNDS_US if seconds * 1e6 <= b), 10**6)] += 1

    def median_us(self) -> int:
        """Upper bound of the bucket that holds the median."""
        seen = 0
        for bound in sorted(self._buckets):
            seen += self._buckets[bound]
            if 2 * seen >= self.count:
                return bound
        return 0

    def as_json(self) -> dict[str, object]:
        return {"count": self.count, "max_us": round(self.most * 1e6), "le_us": dict(sorted(self._buckets.items()))}


class Reporter:
    """Writes the model's events and log, and keeps its counters. Costs little when nothing is reported."""

    def __init__(
        self,
        events: TextIO | None = None,
        log: TextIO | None = None,
        guest_time: Callable[[], float] | None = None,
        gpu: int = 0,
    ) -> None:
        """`guest_time` (exact time only): guest time in seconds, which events then have as `at`. `gpu`: its
        number among several; events and log of the first one do not say so."""
        self._gpu = gpu
        self._guest_time = guest_time
        self._events = events
        self._log = log if log is not None else sys.stderr
        self._reported: set[tuple[str, str]] = set()
        self._last: dict[tuple[str, str], float] = {}
        self.counts: Counter[str] = Counter()
        self.durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.model_errors = 0

    def event(self, kind: str, text: str, **fields: object) -> None:
        """Write one event. Equal events within a millisecond (of guest time, if known) are written once."""
        wall = now = time.monotonic()
        if self._guest_time is not None:
            now = self._guest_time()
            fields["at"] = round(now, 9)
        if self._gpu:
            fields["gpu"] = self._gpu
        key = (kind, text)
        if now - self._last.get(key, -1.0) < MERGE_SECONDS:
            return
        if len(self._last) > 4096:
            self._last.clear()
        self._last[key] = now
        self.counts[kind] += 1
        if self._events is not None:
            self._events.write(json.dumps({"time": round(wall, 6), "kind": kind, "text": text, **fields}) + "\n")
            self._events.flush()

    def log(self, text: str) -> None:
        whose = f"GPU {self._gpu}: " if self._gpu else ""
        self._log.write(f"{time.monotonic():.6f} {whose}{text}\n")
        self._log.flush()

    def once(self, kind: str, what: str, text: str) -> None:
        """Write an event every time, and a log line only for the first `what` of this `kind`."""
        self.event(kind, text)
        if (kind, what) not in self._reported:
            self._reported.add((kind, what))
            self.log(f"{kind}: {text}")

    def unmodelled(self, what: str, text: str) -> None:
        """The guest asked for something that is not emulated."""
        self.once("unmodelled", what, text)

    def misuse(self, what: str, text: str) -> None:
        """The driver did something that real hardware would not tolerate; the model does."""
        self.once("misuse", what, text)

    def check(self, what: str, text: str) -> None:
        """A self-check failed."""
        self.counts[f"check {what}"] += 1
        self.once("check", what, text)

    def model_error(self, text: str, reproducer: str) -> None:
        """The model has a bug: it raised an unexpected exception."""
        self.model_errors += 1
        self.event("model-error", text)
        if self.model_errors <= 10:
            self.log(f"model-error: {text}\n{reproducer}")

    def summary(self, extra: Mapping[str, object]) -> None:
        """Write the counters at the end of the run."""
        durations = {name: h.as_json() for name, h in sorted(self.durations.items())}
        counts = dict(sorted(self.counts.items()))
        self.event("counters", "counters at the end", counts=counts, durations=durations, **extra)
        for name, histogram in sorted(self.durations.items()):
            self.log(
                f"{name}: {histogram.count} times, median {histogram.median_us()} us, at most "
                f"{histogram.most * 1e6:.0f} us"
            )
        for name, number in sorted(self.counts.items()):
            self.log(f"{name}: {number}")
        for name, value in extra.items():
            self.log(f"{name}: {value}")
