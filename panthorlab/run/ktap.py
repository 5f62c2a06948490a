# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what `iterate` and the workloads print (docs/guest.md): KTAP with facts in comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_BEGIN = re.compile(r"^# panthorlab begin id=(\S+) workload=(\S+)(?: boot=(\S+))?$")
_END = re.compile(r"^# panthorlab end id=(\S+)$")
_RESULT = re.compile(
    r"^(ok|not ok) \d+ (\S+) # id=(\S+) status=(-?\d+) signal=(\d+) us=(\d+) sentinel=(\w+)( timeout=1)?"
)
_SUBTEST = re.compile(r"^(ok|not ok) \d+ ?-? ?(.*)$")
_TERMINATIONS = re.compile(r"^# terminations (\d+)$")
_INFO = re.compile(r"^# info (\S+?)=(.*)$")


@dataclass(frozen=True)
class Report:
    """What one iteration said of itself.

    `ok`: ended as expected, all its subtests and the sentinel passed. `us`: microseconds. `sentinel`: `ok`, `fail`
    or `none`. `terminations`: heap-bound group terminations it caused. `lines`: its own output, unindented. `boot`: the
    boot-id of the kernel it ran on; empty if it did not say. `timeout`: it was killed at its deadline.
    """

    id: str
    workload: str
    ok: bool
    status: int
    signal: int
    us: int
    sentinel: str
    terminations: int
    subtests: tuple[tuple[bool, str], ...]
    lines: tuple[str, ...]
    boot: str = ""
    timeout: bool = False

    @property
    def why(self) -> str:
        """In words, what was not as expected; empty if `ok`."""
        if self.ok:
            return ""
        failed = [name for passed, name in self.subtests if not passed]
        parts = [f"not ok: {name}" for name in failed]
        if self.sentinel == "fail":
            parts.append("the next process's job did not work")
        if not parts:
            parts.append(f"ended by signal {self.signal}" if self.signal else f"exit status {self.status}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Begun:
    """An iteration's begin marker was written and its program is about to start."""

    id: str
    workload: str


@dataclass
class _Open:
    id: str
    boot: str
    lines: list[str] = field(default_factory=list)
    result: Report | None = None


def parse_iterations(lines: Iterable[str]) -> Iterator[Begun | Report]:
    """`Begun` and, once its end line was seen, `Report` of each iteration in the output of `iterate`.

    An iteration without result or end line yields no report: it was cut off, which the caller must notice.
    """
    current: _Open | None = None
    for raw in lines:
        line = raw.rstrip("\r\n")
        if match := _BEGIN.match(line):
            current = _Open(match[1], match[3] or "")
            yield Begun(match[1], match[2])
        elif current is None:
            continue
        elif line.startswith("    "):
            current.lines.append(line[4:])
        elif (match := _RESULT.match(line)) and match[3] == current.id:
            current.result = _report(match, current)
        elif (match := _END.match(line)) and match[1] == current.id:
            if current.result is not None:
                yield current.result
            current = None


def _report(match: re.Match[str], of: _Open) -> Report:
    lines = of.lines
    terminations = [int(found[1]) for found in map(_TERMINATIONS.match, lines) if found]
    return Report(
        id=match[3],
        workload=match[2],
        ok=match[1] == "ok",
        status=int(match[4]),
        signal=int(match[5]),
        us=int(match[6]),
        sentinel=match[7],
        terminations=sum(terminations) or 1,
        subtests=subtests(lines),
        lines=tuple(lines),
        boot=of.boot,
        timeout=match[8] is not None,
    )


def subtests(lines: Iterable[str]) -> tuple[tuple[bool, str], ...]:
    """(passed, name) of each result line of a flat KTAP text."""
    return tuple((found[1] == "ok", found[2]) for found in map(_SUBTEST.match, lines) if found)


def info(lines: Iterable[str]) -> dict[str, str]:
    """`# info key=value` facts of a KTAP text."""
    return {found[1]: found[2] for found in map(_INFO.match, lines) if found}
