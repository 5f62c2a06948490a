# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings from log records: a pure function of the records in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panthorlab.kmsg.around import around
from panthorlab.kmsg.doubles import Doubles
from panthorlab.kmsg.gpu_messages import GpuAssembler, split_prefix
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import DRM_WARN
from panthorlab.kmsg.records import LogRecord
from panthorlab.kmsg.reports import ReportCollector


class FindingParser:
    """Feed it records in order; it returns each finding when it is complete, `close` returns the rest."""

    def __init__(self) -> None:
        self._gpu = GpuAssembler()
        self._reports = ReportCollector()
        self._doubles = Doubles()

    @property
    def busy(self) -> bool:
        """Whether a finding is incomplete, so that any next record may matter.

        While not busy, a record without a line that passes `prefilter.interesting` changes nothing.
        """
        return self._gpu.busy or self._reports.busy

    def feed(self, record: LogRecord) -> list[Finding]:
        if record.facility:  # written by a user-space program: never evidence against the kernel
            return []
        if self._doubles.again(record):
            return []
        findings: list[Finding] = []
        for text in record.text.split("\n"):
            findings += self._line(text, record)
        return self._doubles.once(findings)

    def close(self) -> list[Finding]:
        return self._doubles.once(self._gpu.close() + self._reports.close())

    def _line(self, text: str, record: LogRecord) -> list[Finding]:
        prefixed = split_prefix(text) if ": " in text else None
        if prefixed and DRM_WARN.match(prefixed.message):
            return self._reports.drm_warning(text.strip(), record, prefixed)
        if (known := around(text, record, prefixed)) is not None:
            return known
        mine, findings = self._gpu.feed(text, record, prefixed)
        self._reports.learn(findings)
        return findings if mine else findings + self._reports.feed(text, record)


def find(records: Iterable[LogRecord]) -> Iterator[Finding]:
    """All findings of a log, in the order in which they were completed."""
    parser = FindingParser()
    for record in records:
        yield from parser.feed(record)
    yield from parser.close()
