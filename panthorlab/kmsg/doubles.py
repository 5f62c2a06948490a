# SPDX-License-Identifier: GPL-2.0-or-later
"""Removing duplicates of events that two sinks have written (console and journal merged)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.records import LogRecord


class Doubles:
    """Recognises copies of records, and of findings whose records are complete in each sink.

    Two adjacent equal lines are one if they have the same kernel time, or only one of them has a kernel time, or the
    text before the message differs. Without kernel times, equal lines of one sink may be two events, unless whole
    passages are duplicated (`folding.py`).
    """

    def __init__(self) -> None:
        self._record: LogRecord | None = None
        self._finding: Finding | None = None

    def again(self, record: LogRecord) -> bool:
        """Whether `record` is a copy of the one before."""
        before, self._record = self._record, record
        if before is None or record.seq is not None or not 0 <= record.line - before.line <= 1:
            return False
        if record.text.strip() != before.text.strip() or not record.text.strip():
            return False
        if record.timestamp is not None and before.timestamp is not None:
            copy = record.timestamp == before.timestamp
        else:
            copy = record.timestamp != before.timestamp or record.prefix != before.prefix
        if copy:  # a third line must not be taken for a copy of the second
            self._record = replace(before, line=record.line)
        return copy

    def once(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings without those that repeat the one directly before."""
        kept = []
        for finding in findings:
            before = self._finding
            if before is None or finding.seq is not None or not _is_copy(before, finding):
                kept.append(finding)
            self._finding = finding
        return kept


def _is_copy(before: Finding, finding: Finding) -> bool:
    lines = before.text.count("\n") + 1
    if lines < 2 or not 0 < finding.line - before.line <= lines:
        return False
    if finding.timestamp is None or finding.timestamp != before.timestamp:
        return False
    return replace(finding, line=0, text="") == replace(before, line=0, text="")
