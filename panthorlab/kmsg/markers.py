# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the kernel log that belongs to each iteration, with proof that it is complete.

A workload runner writes `panthorlab: begin id=… workload=… boot=…` and `panthorlab: end id=…` to /dev/kmsg. The kernel
gives messages of user space a facility other than 0 (devkmsg_write, kernel/printk/printk.c), so no kernel message is
mistaken for a marker, even if it contains the words of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from panthorlab.kmsg.findings import FindingParser
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.records import USER_FACILITY, LogRecord

MAX_RECORDS = 20000
"""Records kept per window; findings are taken from all of them."""

_MARKER = re.compile(
    r"panthorlab: (?:(?P<begin>begin) id=(?P<id>[\w.:+-]{1,128}) workload=(?P<workload>\S{1,256})"
    r"(?: boot=(?P<boot>[0-9a-f-]{36}))?"
    r"|end id=(?P<end_id>[\w.:+-]{1,128}))"
)


@dataclass(frozen=True, slots=True)
class EndMarker:
    """The end of an iteration: its id, its workload (None if the begin marker is missing), and its time in seconds of
    the kernel's clock."""

    id: str
    workload: str | None
    timestamp: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The log of one iteration or, with `id` None, of the time between two.

    It is evidence only if `complete`: both markers, sequence numbers without a gap. `reason`: what is missing.
    `boot`: the boot-id in its begin marker. `first_seq` and `last_seq` include the markers. `since`: the end marker
    before a time between two iterations.
    """

    id: str | None
    workload: str | None
    complete: bool
    gap: bool
    reason: str | None
    records: tuple[LogRecord, ...]
    findings: tuple[Finding, ...]
    first_seq: int | None
    last_seq: int | None
    boot: str | None = None
    since: EndMarker | None = None


@dataclass(slots=True)
class _Part:
    id: str | None = None
    workload: str | None = None
    boot: str | None = None
    gap: bool = False
    records: list[LogRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    parser: FindingParser = field(default_factory=FindingParser)
    first_seq: int | None = None
    last_seq: int | None = None
    since: EndMarker | None = None


class WindowTracker:
    """Feed it raw /dev/kmsg records in the order read; it returns the windows that have ended."""

    def __init__(self) -> None:
        self._part = _Part()
        self._next_seq: int | None = None

    def feed(self, record: LogRecord) -> list[Window]:
        if record.seq is None and not record.text.strip():
            return []
        self._follow(record)
        marker = _MARKER.fullmatch(record.text) if record.facility == USER_FACILITY else None
        if marker is None:
            self._add(record)
            return []
        if marker["begin"]:
            ended = self._end("no end marker")
            self._part = _Part(
                id=marker["id"], workload=marker["workload"], boot=marker["boot"], first_seq=record.seq,
                last_seq=record.seq,
            )  # fmt: skip
            return ended
        return self._end_marker(marker["end_id"], record)

    def close(self) -> list[Window]:
        """Call at the end of the log: an open window ends without its marker."""
        return self._end("no end marker")

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """The complete findings of the window that has not ended yet."""
        return tuple(self._part.findings)

    def _end_marker(self, identity: str, record: LogRecord) -> list[Window]:
        workload = self._part.workload if self._part.id == identity else None
        if self._part.id == identity:
            self._part.last_seq = record.seq
            ended = self._end(None)
        else:
            ended = self._end("no end marker")
            ended.append(Window(identity, None, False, False, "no begin marker", (), (), record.seq, record.seq))
        self._part = _Part(since=EndMarker(identity, workload, record.timestamp))
        return ended

    def _follow(self, record: LogRecord) -> None:
        if record.seq is None:
            # No record: the follower's message about an overrun, or a line damaged in transit.
            self._part.gap = True
            return
        if self._next_seq is not None and record.seq != self._next_seq:
            self._part.gap = True
        self._next_seq = record.seq + 1

    def _add(self, record: LogRecord) -> None:
        part = self._part
        part.first_seq = record.seq if part.first_seq is None else part.first_seq
        part.last_seq = record.seq if record.seq is not None else part.last_seq
        part.findings += part.parser.feed(record)
        if len(part.records) < MAX_RECORDS:
            part.records.append(record)

    def _end(self, missing: str | None) -> list[Window]:
        part, self._part = self._part, _Part()
        part.findings += part.parser.close()
        if part.id is None and not (part.records or part.gap):
            return []
        reason = missing if part.id is not None else None
        if part.gap:
            reason = f"{reason}; records were lost" if reason else "records were lost"
        return [
            Window(
                id=part.id, workload=part.workload, complete=part.id is not None and reason is None, gap=part.gap,
                reason=reason, records=tuple(part.records), findings=tuple(part.findings), first_seq=part.first_seq,
                last_seq=part.last_seq, boot=part.boot, since=part.since,
            )
        ]  # fmt: skip


def windows(records: Iterable[LogRecord]) -> Iterator[Window]:
    """All windows of a log, iterations and what is between them, in order."""
    tracker = WindowTracker()
    for record in records:
        yield from tracker.feed(record)
    yield from tracker.close()
