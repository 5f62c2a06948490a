# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines and functions that ran, computed from instruction counts. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from panthorlab.coverage.counts import Counts
from panthorlab.coverage.model import DRIVER, Function, Places, SourceMap

LineCounts = Mapping[str, Mapping[int, int]]
"""Execution count by file and line, for lines with code."""


@dataclass(frozen=True)
class Executed:
    """Execution counts of lines and functions. Totals are for the driver only; a patch may have other files, too."""

    lines: LineCounts
    functions: Mapping[Function, int]

    @property
    def line_total(self) -> int:
        return len(self._lines())

    @property
    def lines_ran(self) -> int:
        return sum(map(bool, self._lines()))

    @property
    def function_total(self) -> int:
        return len(self._functions())

    @property
    def functions_ran(self) -> int:
        return sum(map(bool, self._functions()))

    def _lines(self) -> list[int]:
        return [count for file, counts in self.lines.items() if file.startswith(DRIVER) for count in counts.values()]

    def _functions(self) -> list[int]:
        return [count for function, count in self.functions.items() if function.file.startswith(DRIVER)]


def executed(source: SourceMap, counts: Counts) -> Executed:
    """A function's count is the sum over its copies; a line's is the maximum over its statements and copies."""
    lines = {
        file: {line: _ran(places, counts) for line, places in found.items()} for file, found in source.lines.items()
    }
    return Executed(lines, {one: sum(map(counts.at, one.entries)) for one in source.functions})


def _ran(places: Places, counts: Counts) -> int:
    """A line ran if both the start of one of its statements and some of its code were executed. Either alone proves
    nothing: code of a branch not taken may be elsewhere, or partly moved to where it always runs."""
    code = max(map(counts.at, places.code))
    return min(code, max(map(counts.at, places.statements))) if places.statements else code


def together(parts: Iterable[Executed]) -> Executed:
    """The sum over several periods, or several objects."""
    lines: dict[str, Counter[int]] = {}
    functions: Counter[Function] = Counter()
    for part in parts:
        functions.update(part.functions)
        for file, counts in part.lines.items():
            lines.setdefault(file, Counter()).update(counts)
    return Executed({file: dict(sorted(lines[file].items())) for file in sorted(lines)}, dict(functions))


def nothing_of(executed: Executed) -> Executed:
    """The same code with all counts zero."""
    return Executed(
        {file: dict.fromkeys(counts, 0) for file, counts in executed.lines.items()},
        dict.fromkeys(executed.functions, 0),
    )


def lines_of(executed: Executed) -> Mapping[Function, tuple[int, ...]]:
    """The lines with code of each function: those from its own line to the next function's."""
    begins: dict[str, list[Function]] = {}
    for function in executed.functions:
        begins.setdefault(function.file, []).append(function)
    found: dict[Function, list[int]] = {function: [] for function in executed.functions}
    for file, lines in executed.lines.items():
        functions = sorted(begins.get(file, ()), key=lambda function: function.line)
        starts = [function.line for function in functions]
        for line in lines:
            at = bisect_right(starts, line) - 1
            if at >= 0:
                found[functions[at]].append(line)
    return {function: tuple(lines) for function, lines in found.items()}
