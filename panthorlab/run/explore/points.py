# SPDX-License-Identifier: GPL-2.0-or-later
"""The two points of a dry run between which is aimed, as people name them. Pure.

`W AS1_COMMAND`, `I job`: an event. `tick_work`: where a function of the driver is entered; `tick_work:end`: where it is
left. `NAME:3`, `NAME:3:end`: the third of the iteration. Without a number the first one is the first of the iteration,
and the second the first after that.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.run.explore.course import Course
from panthorlab.run.explore.orders import Interleaving

_POINT: Final = re.compile(r"(?P<name>.*?)(?::(?P<number>[0-9]+))?(?P<end>:end)?", re.DOTALL)


def span(dry: Interleaving, course: Course | None, first: str, second: str) -> tuple[int, int]:
    """The instruction counts of the two points. Raises UsageError if one is not there, or they are not in order."""
    begin = point(dry, course, first)
    end = point(dry, course, second, after=begin)
    if end < begin:
        raise UsageError(
            f"`{second}` comes before `{first}` in the dry run", hint="exchange them, or choose a later one"
        )
    return begin, end


def point(dry: Interleaving, course: Course | None, text: str, after: int = 0) -> int:
    """The instruction count of a point. `after`: from which count on those without a number are looked for. Raises
    UsageError."""
    match = _POINT.fullmatch(text)
    assert match is not None  # noqa: S101 - it takes any text
    name, number = match["name"], match["number"]
    if " " in name and match["end"]:
        raise UsageError(f"`{text}`: an event has no end", hint="calls of functions have one, `tick_work:end`")
    counts, others, what = (
        ([count for event, count in dry.events if event == name], {event for event, _ in dry.events}, "event")
        if " " in name
        else _calls(course, name, end=match["end"] is not None)
    )
    if number is None:
        counts, number = [count for count in counts if count >= after] or counts[:1], "1"
    if 1 <= int(number) <= len(counts):
        return counts[int(number) - 1]
    raise UsageError(f"the dry run has no {what} `{text}`", hint=_hint(name, len(counts), others, what))


def _calls(course: Course | None, name: str, *, end: bool) -> tuple[list[int], Collection[str], str]:
    if course is None:
        raise UsageError(
            f"`{name}`: calls of this kernel's driver are not known",
            hint="take an event, `W REGISTER`, `R REGISTER` or `I LINE`",
        )
    own = [one for one in course.calls if name in (one.name, one.name.partition(".")[0])]
    ends = sorted(one.end for one in own if one.end is not None)
    counts = ends if end else [one.begin for one in own]
    return counts, {one.name for one in course.calls}, "end of a call" if end else "call of a function"


def _hint(name: str, there: int, others: Collection[str], what: str) -> str:
    if there:
        return f"it has {there} of them"
    if near := difflib.get_close_matches(name, others, n=3):
        return f"it has {', '.join(near)}, …"
    if what == "event":
        return "accesses are R REGISTER and W REGISTER"
    return "functions that the compiler has put into others are none; `replay --trace-functions` shows those there are"
