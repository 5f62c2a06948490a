# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `panthorlab scan`: facts about the machine in logs, findings, and differences from older logs."""

from __future__ import annotations

import json as jsonlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from panthorlab.kmsg.explain import explain
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.scan import LogScanner, place
from panthorlab.kmsg.seen import Seen
from panthorlab.kmsg.sources import UNREADABLE, logs

NO_KERNEL_LOG = "not one line looks like a kernel log"
EMPTY = "empty"


@dataclass
class Scanned:
    """The findings in some files. `unreadable`: file → why it, or its end, could not be read as a kernel log;
    `damaged`: those of them whose bytes could not be read."""

    findings: list[tuple[str, Finding]] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)

    def counts(self) -> Counter[str]:
        return Counter(finding.signature for _, finding in self.findings)


@dataclass(frozen=True)
class Difference:
    """Comparison of one signature. `change`: `new`, `gone`, `more`, `fewer`, or `same`."""

    signature: str
    kind: Kind
    old: int
    new: int

    @property
    def change(self) -> str:
        if not self.old or not self.new:
            return "new" if self.new else "gone"
        return "more" if self.new > self.old else "fewer" if self.new < self.old else "same"

    def to_json(self) -> dict[str, object]:
        return {
            "signature": self.signature,
            "kind": self.kind.value,
            "change": self.change,
            "old": self.old,
            "new": self.new,
        }


def scan_main(
    files: Sequence[str],
    *,
    json: bool = False,
    fail_on: Sequence[str] = (),
    compare: Sequence[str] = (),
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """The command `scan`. Exit status: 1 if a finding is of a kind in `fail_on` (and, with `compare`, its signature is
    new or more frequent than in those logs), 2 for bad input, else 0.

    Unreadable files are named on `err` (default: standard error) and under `unreadable` in the JSON; other files, and
    the part of a damaged file before the damage, are scanned nevertheless. If there are none, nothing goes to `out`.
    A file without a line of a kernel log is named likewise; with `fail_on` it is bad input, too, because an unchecked
    file must not pass.
    """
    out, err = out or sys.stdout, err or sys.stderr
    unknown = [kind for kind in fail_on if kind not in set(Kind)]
    if unknown:
        print(f"panthorlab scan: no such kind: {unknown[0]} (there are: {', '.join(Kind)})", file=err)
        return 2
    names = list(dict.fromkeys(files)) or ["-"]
    scanned = scan_files(names)
    old = scan_files(list(dict.fromkeys(compare))) if compare else None
    for name, why in {**(old.unreadable if old else {}), **scanned.unreadable}.items():
        print(f"panthorlab scan: {name}: {why}", file=err)
    differences = compared(old, scanned) if old else None
    if scanned.findings or len(scanned.damaged) < len(names):
        out.write(_json(scanned, old, differences) if json else _text(scanned, differences))
    if scanned.damaged or (old and old.unreadable) or (fail_on and scanned.unreadable):
        return 2
    counting = (
        {row.signature for row in differences if row.change in {"new", "more"}} if differences is not None else None
    )
    return int(
        any(
            finding.kind in set(fail_on) and (counting is None or finding.signature in counting)
            for _, finding in scanned.findings
        )
    )


def scan_files(names: Sequence[str]) -> Scanned:
    """Every log of every file, in order."""
    scanned = Scanned()
    for name in names:
        seen = Seen()
        is_empty = True
        try:
            for log, chunks in logs(name):
                is_empty &= not _scan_log(log, chunks, seen, scanned)
        except UNREADABLE as error:
            scanned.unreadable[name] = getattr(error, "strerror", None) or str(error) or type(error).__name__
            scanned.damaged.add(name)
        if seen.looks_like_a_kernel_log:
            scanned.seen[name] = seen
        else:
            scanned.unreadable.setdefault(name, EMPTY if is_empty else NO_KERNEL_LOG)
    return scanned


def _scan_log(name: str, chunks: Iterator[bytes], seen: Seen, scanned: Scanned) -> bool:
    """Scan one log, up to its damage if it has any; returns whether it has any bytes."""
    scanner = LogScanner(seen=seen)
    found: list[Finding] = []
    has_bytes = False
    try:
        for chunk in chunks:
            has_bytes = True
            found += scanner.feed(chunk)
    finally:
        found += scanner.close()
        for finding in sorted(found, key=place):
            seen.spoke(finding.driver)
            scanned.findings.append((name, finding))
    return has_bytes


def compared(old: Scanned, new: Scanned) -> list[Difference]:
    """First the new signatures, then more, gone, fewer and same, each group in order of first occurrence."""
    kinds = {finding.signature: finding.kind for _, finding in [*new.findings, *old.findings]}
    before, after = old.counts(), new.counts()
    rows = [Difference(signature, kind, before[signature], after[signature]) for signature, kind in kinds.items()]
    order = ("new", "more", "gone", "fewer", "same")
    return sorted(rows, key=lambda row: order.index(row.change))


def _json(scanned: Scanned, old: Scanned | None, differences: Sequence[Difference] | None) -> str:
    document: dict[str, object] = {
        "findings": [finding.to_json() for _, finding in scanned.findings],
        "seen": {name: seen.to_json() for name, seen in scanned.seen.items()},
    }
    if differences is not None:
        document["compared"] = [row.to_json() for row in differences]
    unreadable = {**(old.unreadable if old else {}), **scanned.unreadable}
    return jsonlib.dumps(document | ({"unreadable": unreadable} if unreadable else {}), indent=1) + "\n"


def _text(scanned: Scanned, differences: Sequence[Difference] | None) -> str:
    lines = [f"{name}: {seen.sentence()}" for name, seen in scanned.seen.items()]
    if differences is not None:
        lines += ["", *_differences(differences)]
    head = "".join(f"{line}\n" for line in lines)
    if scanned.findings:
        return f"{head}\n" * bool(head) + summary(scanned.findings)
    return head + ("no findings in what could be read\n" if scanned.unreadable else "no findings\n")


def _differences(rows: Sequence[Difference]) -> list[str]:
    changed = [row for row in rows if row.change != "same"]
    if not changed:
        return [f"nothing is new or gone; {len(rows)} the same" if rows else "nothing is new or gone"]
    return [f"{row.change:>6}  {row.old:6} → {row.new:<6} {row.signature}" for row in changed]


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
