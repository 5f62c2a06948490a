# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects in the GPU's address space, from the output of workloads, and which of them a fault address hit.

A workload prints, before it dies, lines such as `# gpu heap-context va=0x800000003000 size=0x40 heap=0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from panthorlab.kmsg.model import Finding

_LINE = re.compile(r"\s*# gpu (?P<kind>heap-context|heap-chunk|ring-buffer|user-bo) (?P<facts>.*)")
_FACT = re.compile(r"(\w+)=(\S+)")
_WORDS = {"heap-context": "heap context", "heap-chunk": "heap chunk", "ring-buffer": "ring buffer"}


@dataclass(frozen=True, slots=True)
class GpuObject:
    """`size` bytes at GPU virtual address `va`; `name` for user buffers, `heap` the number of a heap, if printed."""

    kind: str
    va: int
    size: int
    name: str | None = None
    heap: int | None = None

    @property
    def owner(self) -> str:
        """The words that `Finding.owner` uses."""
        return _WORDS.get(self.kind) or f"user BO {self.name or '?'}"


def parse_object(line: str) -> GpuObject | None:
    """The object described by one line of workload output; None for every other line, also a damaged one."""
    found = _LINE.match(line)
    if not found:
        return None
    facts = dict(_FACT.findall(found["facts"]))
    try:
        heap = int(facts["heap"], 0) if "heap" in facts else None
        return GpuObject(found["kind"], int(facts["va"], 0), int(facts["size"], 0), facts.get("name"), heap)
    except (KeyError, ValueError):
        return None


def parse_objects(lines: Iterable[str]) -> list[GpuObject]:
    """All objects described by the lines of a workload."""
    return [found for line in lines if (found := parse_object(line))]


def owner_of(va: int | str | None, objects: Iterable[GpuObject]) -> str:
    """The object that `va` is in: `heap context`, `heap chunk`, `ring buffer`, `user BO NAME` or `unknown`.

    If objects overlap (an address was reused), the smallest one counts, among equally small ones the latest.
    """
    if va is None:
        return "unknown"
    address = int(va, 0) if isinstance(va, str) else va
    best: GpuObject | None = None
    for candidate in objects:
        if candidate.va <= address < candidate.va + candidate.size and (best is None or candidate.size <= best.size):
            best = candidate
    return best.owner if best else "unknown"


def with_owner(finding: Finding, objects: Iterable[GpuObject]) -> Finding:
    """The finding with `owner` filled in, if it has an address at all."""
    return finding if finding.va is None else replace(finding, owner=owner_of(finding.va, objects))
