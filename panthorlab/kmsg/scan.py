# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings straight from the bytes of a log, fast: what `panthorlab scan` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panthorlab.kmsg.findings import FindingParser
from panthorlab.kmsg.folding import Folder
from panthorlab.kmsg.lines import LineCleaner, cut
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.prefilter import interesting
from panthorlab.kmsg.records import parse_line
from panthorlab.kmsg.seen import Seen


class LogScanner:
    """Findings from chunks of bytes, cut anywhere. `prefilter=False` looks at every line, with the same result.

    `seen` collects what the log says about its machine.
    """

    def __init__(self, *, prefilter: bool = True, seen: Seen | None = None) -> None:
        self._seen = seen
        self._prefilter = prefilter
        self._lines = LineCleaner()
        self._folder = Folder()
        self._parser = FindingParser()

    def feed(self, chunk: bytes) -> list[Finding]:
        return self._scan(self._folder.feed(self._lines.feed(chunk)))

    def close(self) -> list[Finding]:
        rest = self._folder.feed(self._lines.close()) + self._folder.close()
        return self._scan(rest) + self._parser.close()

    def _scan(self, segments: list[tuple[int, bytes]]) -> list[Finding]:
        findings: list[Finding] = []
        for number, block in segments:
            if self._seen is not None:
                self._seen.feed(block)
            findings += self._scan_block(number, block)
        return findings

    def _scan_block(self, number: int, block: bytes) -> list[Finding]:
        findings: list[Finding] = []
        position = counted = 0
        hot = iter(interesting(block)) if self._prefilter else iter(())
        start = next(hot, len(block))
        while position < len(block):
            if self._prefilter and not self._parser.busy:
                while start < position:
                    start = next(hot, len(block))
                position = start
                if position == len(block):
                    break
                number += block.count(b"\n", counted, position)
            end = block.index(b"\n", position) + 1
            for record in parse_line(cut(block[position:end]), number):
                findings += self._parser.feed(record)
            number += 1
            position = counted = end
        return findings


def scan(chunks: Iterable[bytes], *, prefilter: bool = True) -> Iterator[Finding]:
    """All findings of a log given as chunks of bytes."""
    scanner = LogScanner(prefilter=prefilter)
    for chunk in chunks:
        yield from scanner.feed(chunk)
    yield from scanner.close()


def scan_bytes(log: bytes, *, prefilter: bool = True) -> list[Finding]:
    """All findings of a log in memory, in the order of their lines."""
    return sorted(scan([log], prefilter=prefilter), key=place)


def place(finding: Finding) -> tuple[int, float]:
    """Sort key: where in its log a finding begins; with the timestamp, as a whole log may be pasted as one line."""
    return finding.line, finding.timestamp or 0
