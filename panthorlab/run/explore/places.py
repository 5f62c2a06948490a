# SPDX-License-Identifier: GPL-2.0-or-later
"""The places of the driver of which somebody says that a race is there, and whether their lines ran. Pure.

`group_destroy_locked`: all lines of this function. `panthor_sched.c:3411`, `panthor_sched.c:3400-3420`: those of them
that have code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from panthorlab.coverage.counts import none
from panthorlab.coverage.lines import Executed, lines_of
from panthorlab.coverage.lines import executed as executed_by
from panthorlab.coverage.model import SourceMap
from panthorlab.errors import UsageError

_LINES: Final = re.compile(r"(?P<file>[^:]+\.[chS]):(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?")


@dataclass(frozen=True)
class Ran:
    """`place`: as it was named. `never`: lines that did not run, of `lines` with code."""

    place: str
    file: str
    lines: int
    never: tuple[int, ...]

    @property
    def reached(self) -> bool:
        return len(self.never) < self.lines

    def __str__(self) -> str:
        if not self.reached:
            return f"{self.place}: none of its {self.lines} lines ran"
        told = f"{self.place}: {self.lines - len(self.never)} of {self.lines} lines ran"
        return f"{told}; never: {self.file}:{', '.join(map(str, self.never))}" if self.never else told


def check(places: Sequence[str], source: SourceMap) -> None:
    """Raises UsageError for a place that this kernel's driver does not have."""
    ran_at(places, executed_by(source, none(source.text)))


def ran_at(places: Sequence[str], executed: Executed) -> list[Ran]:
    """Raises UsageError as `check` does."""
    functions = {function.name: (function.file, lines) for function, lines in lines_of(executed).items() if lines}
    return [_of_lines(place, executed) or _of_function(place, functions, executed) for place in places]


def _of_lines(place: str, executed: Executed) -> Ran | None:
    match = _LINES.fullmatch(place)
    if match is None:
        return None
    files = [file for file in executed.lines if file == match["file"] or PurePosixPath(file).name == match["file"]]
    if len(files) != 1:
        raise UsageError(
            f"`{place}`: the driver has {'several files' if files else 'no file'} {match['file']}",
            hint=f"it has {', '.join(sorted(PurePosixPath(file).name for file in executed.lines))}",
        )
    first, last = int(match["first"]), int(match["last"] or match["first"])
    lines = [line for line in executed.lines[files[0]] if first <= line <= last]
    if not lines:
        raise UsageError(f"`{place}`: there is no code", hint=_near(executed.lines[files[0]], first))
    return _ran(place, files[0], lines, executed)


def _near(lines: Collection[int], wanted: int) -> str:
    near = sorted(lines, key=lambda line: abs(line - wanted))[:3]
    return f"lines with code near it: {', '.join(map(str, sorted(near)))}"


def _of_function(place: str, functions: Mapping[str, tuple[str, Sequence[int]]], executed: Executed) -> Ran:
    if place not in functions:
        near = difflib.get_close_matches(place, functions, n=3)
        raise UsageError(
            f"`{place}`: the driver has no such function, or none of its lines is left in this kernel",
            hint=f"it has {', '.join(near)}, …" if near else "a place is FUNCTION, FILE.c:LINE or FILE.c:FIRST-LAST",
        )
    file, lines = functions[place]
    return _ran(place, file, lines, executed)


def _ran(place: str, file: str, lines: Sequence[int], executed: Executed) -> Ran:
    never = tuple(sorted(line for line in lines if not executed.lines[file][line]))
    return Ran(place, PurePosixPath(file).name, len(lines), never)
