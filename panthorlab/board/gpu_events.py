# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of the emulated GPU that evidence is invalid: the event file of `panthorlab gpu serve`, read as it grows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from panthorlab.board.api import LATE, Hazard

HAZARDS = frozenset({"unmodelled", "model-error", "dma-after-shutdown", LATE})
"""Kinds of events that can invalidate evidence; the others (`mmu-fault`, `counters`, …) are informative only."""


class GpuEvents:
    """The hazards, misdeeds and misuses among the events of a file that one writer appends to.

    A file that is replaced is read from its start.
    """

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        """`from_end`: skip the present contents, which belong to earlier boots."""
        self.path = path
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
        events = [_hazard(line) for line in whole.splitlines()]
        self._hazards += [event for event in events if event.kind in HAZARDS]
        self._struck += [event.text for event in events if event.kind == "injected"]
        self._misuses += [event.text for event in events if event.kind == "misuse"]


def _hazard(line: bytes) -> Hazard:
    try:
        event = json.loads(line)
        return Hazard(float(event["time"]), str(event["kind"]), str(event["text"]))
    except (ValueError, KeyError, TypeError) as error:
        return Hazard(time.monotonic(), "model-error", f"unreadable event ({error}): {line[:200]!r}")
