# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings straight from the bytes of a log, fast: what `panthorlab scan` does."""

from __future__ import annotations

import gzip
import json as jsonlib
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

from panthorlab.kmsg.explain import explain
from panthorlab.kmsg.findings import FindingParser
from panthorlab.kmsg.folding import Folder
from panthorlab.kmsg.lines import LineSplitter, cut
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.prefilter import interesting
from panthorlab.kmsg.records import parse_line

CHUNK = 1 << 18
"""Bytes read at a time: fits the processor's cache."""


class LogScanner:
    """Findings from chunks of bytes, cut anywhere. `prefilter=False` looks at every line, with the same result."""

    def __init__(self, *, prefilter: bool = True) -> None:
        self._prefilter = prefilter
        self._lines = LineSplitter()
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
    return sorted(scan([log], prefilter=prefilter), key=lambda finding: finding.line)


def read_chunks(path: str) -> Iterator[bytes]:
    """The bytes of a log file, unpacked if it is .gz or .xz; `-` is standard input.

    Raises OSError, EOFError, zlib.error or lzma.LZMAError for what cannot be read or unpacked.
    """
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        yield from _chunks(sys.stdin.buffer)
        return
    with Path(path).open("rb") as file:
        magic = file.peek(6)[:6]
        if magic[:4] == b"\x28\xb5\x2f\xfd":
            raise OSError("compressed with zstd: unpack it first (zstdcat FILE | panthorlab scan -)")
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(file) as unpacked:
                yield from _chunks(unpacked)
        elif magic == b"\xfd7zXZ\0":
            with lzma.open(file) as unpacked:
                yield from _chunks(unpacked)
        else:
            yield from _chunks(file)


def _chunks(file: IO[bytes] | gzip.GzipFile | lzma.LZMAFile) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def scan_main(
    files: Sequence[str], *, json: bool = False, fail_on: Sequence[str] = (), out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """The command `scan`: 0 whatever it finds, 1 if a finding is of a kind in `fail_on`, 2 for bad input.

    Files that cannot be read are named on `err` (default: standard error), and in the JSON as `unreadable`; the others,
    and what comes before the damage of a damaged one, are scanned all the same. Without any, nothing goes to `out`.
    """
    out, err = out or sys.stdout, err or sys.stderr
    unknown = [kind for kind in fail_on if kind not in set(Kind)]
    if unknown:
        print(f"panthorlab scan: no such kind: {unknown[0]} (there are: {', '.join(Kind)})", file=err)
        return 2
    names = list(dict.fromkeys(files)) or ["-"]
    found, unreadable = _scan_files(names)
    for name, why in unreadable.items():
        print(f"panthorlab scan: {name}: {why}", file=err)
    if found or len(unreadable) < len(names):
        out.write(_json(found, unreadable) if json else _text(found, unreadable))
    if unreadable:
        return 2
    return 1 if any(finding.kind in set(fail_on) for _, finding in found) else 0


def _scan_files(names: Sequence[str]) -> tuple[list[tuple[str, Finding]], dict[str, str]]:
    """(the findings with their files, in order; file → why it could not be read, or not to its end)."""
    found: list[tuple[str, Finding]] = []
    unreadable: dict[str, str] = {}
    for name in names:
        scanner = LogScanner()
        of_file: list[Finding] = []
        try:
            for chunk in read_chunks(name):
                of_file += scanner.feed(chunk)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            unreadable[name] = getattr(error, "strerror", None) or str(error)
        of_file += scanner.close()
        found += [(name, finding) for finding in sorted(of_file, key=lambda finding: finding.line)]
    return found, unreadable


def _json(found: Sequence[tuple[str, Finding]], unreadable: Mapping[str, str]) -> str:
    document: dict[str, object] = {"findings": [finding.to_json() for _, finding in found]}
    return jsonlib.dumps(document | ({"unreadable": unreadable} if unreadable else {}), indent=1) + "\n"


def _text(found: Sequence[tuple[str, Finding]], unreadable: Mapping[str, str]) -> str:
    if found:
        return summary(found)
    return "no findings in what could be read\n" if unreadable else "no findings\n"


def summary(found: Sequence[tuple[str, Finding]]) -> str:
    """For people: findings grouped by signature, the first of each with its place; one GPU fault decoded in full."""
    groups: dict[str, list[tuple[str, Finding]]] = {}
    for item in found:
        groups.setdefault(item[1].signature, []).append(item)
    lines = [f"{len(found)} finding{'s' * (len(found) > 1)}, {len(groups)} different", ""]
    for signature, items in sorted(groups.items(), key=lambda group: -len(group[1])):
        name, first = items[0]
        lines.append(f"{len(items):6} × {signature}")
        lines.append(f"         first {name}:{first.line}  {explain(first)}")
    faults = [item for item in found if item[1].kind is Kind.MMU_FAULT and item[1].corrupted is None]
    if faults:
        name, fault = faults[0]
        text = [f"    {line}" for line in fault.text.split("\n")]
        lines += ["", f"{name}:{fault.line}:", *text, f"    = {explain(fault)}"]
    return "\n".join(lines) + "\n"

