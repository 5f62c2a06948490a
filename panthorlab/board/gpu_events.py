# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of the emulated GPU that evidence is invalid: the event file of `panthorlab gpu serve`, read as it grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from panthorlab.board.api import LATE, Hazard
from panthorlab.board.boardtime import HOST

HAZARDS = frozenset({"unmodelled", "model-error", "dma-after-shutdown", LATE})
"""Kinds of events that can invalidate evidence; the others (`mmu-fault`, `counters`, …) are informative only."""


class GpuEvents:
    """The hazards, misdeeds and misuses among the events of a file that one writer appends to.

    A file that is replaced is read from its start.
    """

    def __init__(self, path: Path, *, from_end: bool = False, now: Callable[[], float] = HOST.now) -> None:
        """`from_end`: skip the present contents, which belong to earlier boots. `now`: the board's clock."""
        self.path, self._now = path, now
        self._offset = path.stat().st_size if from_end and path.exists() else 0
        self._hazards: list[Hazard] = []
        self._struck: list[str] = []
        self._misuses: list[str] = []

    def hazards(self) -> Sequence[Hazard]:
        """All events so far that can invalidate evidence, oldest first."""
        self._read()
        return list(self._hazards)

    def struck(self) -> Sequence[str]:
        """Every requested misdeed that has happened so far, oldest first: its rule and where it struck."""
        self._read()
        return list(self._struck)

    def misuses(self) -> Sequence[str]:
        """Driver errors so far that real hardware would not tolerate, oldest first."""
        self._read()
        return list(self._misuses)

    def _read(self) -> None:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = [self._hazard(line) for line in whole.splitlines()]
        self._hazards += [event for event in events if event.kind in HAZARDS]
        self._struck += [event.text for event in events if event.kind == "injected"]
        self._misuses += [event.text for event in events if event.kind == "misuse"]

    def _hazard(self, line: bytes) -> Hazard:
        try:
            event = json.loads(line)
            gpu, text = event.get("gpu"), str(event["text"])  # which of several
            kind = str(event["kind"])
            if gpu and kind != "injected":  # whose rule says it
                text = f"GPU {gpu}: {text}"
            # `at`: in exact time, of the guest
            return Hazard(float(event.get("at", event["time"])), kind, text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Hazard(self._now(), "model-error", f"unreadable event ({error}): {line[:200]!r}")
