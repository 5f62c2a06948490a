# SPDX-License-Identifier: GPL-2.0-or-later
"""The two points of a dry run between which is aimed, as people name them. Pure.

`W AS1_COMMAND`, `I job`: an event. `tick_work`: where a function of the driver is entered; `tick_work:end`: where it is
left. `NAME:3`, `NAME:3:end`: the third of the iteration. Without a number the first one is the first of the iteration,
and the second the first after that.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.run.explore.course import Course
from panthorlab.run.explore.orders import Interleaving

EVENT: Final = "event"
_POINT: Final = re.compile(r"(?P<name>.*?)(?::(?P<number>[0-9]{1,18}))?(?P<end>:end)?", re.DOTALL)


def pair(between: Sequence[str]) -> tuple[str, str] | None:
    """Both as they were given; None if they were not."""
    return (between[0], between[1]) if between else None


def span(order: Interleaving, course: Course | None, first: str, second: str) -> tuple[int, int]:
    """The instruction counts of the two points. Raises UsageError if one is not there, or they are not in order."""
    begin = point(order, course, first)
    end = point(order, course, second, after=begin)
    if end < begin:
        raise UsageError(
            f"`{second}` comes before `{first}` in the dry run", hint="exchange them, or choose a later one"
        )
    return begin, end


def within(order: Interleaving, course: Course, first: str, second: str) -> tuple[int, int] | None:
    """The same in another iteration, to the end of which it lasts if the second point is not there; None: the first is
    not there, or behind it."""
    begin = _find(order, course, first).chosen
    if begin is None:
        return None
    end = _find(order, course, second, begin).chosen
    end = order.last if end is None else end
    return (begin, end) if begin <= end else None


def point(order: Interleaving, course: Course | None, text: str, after: int = 0) -> int:
    """The instruction count of a point of a dry run. `after`: from where on those without a number are looked for.
    Raises UsageError."""
    found = _find(order, course, text, after)
    if found.chosen is None:
        raise UsageError(f"the dry run has no {found.what} `{text}`", hint=_hint(found))
    return found.chosen


@dataclass(frozen=True)
class _Found:
    """`chosen`: the point's count; `there`: how many have its `name`; `others`: all names of its kind, which is
    `what`."""

    chosen: int | None
    there: int
    name: str
    others: Collection[str]
    what: str


def _find(order: Interleaving, course: Course | None, text: str, after: int = 0) -> _Found:
    match = _POINT.fullmatch(text)
    assert match is not None  # noqa: S101 - it takes any text
    name, number, end = match["name"], match["number"], match["end"] is not None
    if " " in name:
        if end:
            raise UsageError(f"`{text}`: an event has no end", hint="calls of functions have one, `tick_work:end`")
        counts = [count for event, count in order.events if event == name]
        others, what = {event for event, _ in order.events}, EVENT
    elif course is None:
        raise UsageError(
            f"`{name}`: calls of this kernel's driver are not known",
            hint="take an event, `W REGISTER`, `R REGISTER` or `I LINE`",
        )
    else:
        own = [one for one in course.calls if name in (one.name, one.name.partition(".")[0])]
        counts = sorted(one.end for one in own if one.end is not None) if end else [one.begin for one in own]
        others, what = {one.name for one in course.calls}, "end of a call" if end else "call of a function"
    if number is None:
        later = [count for count in counts if count >= after] or counts
        return _Found(later[0] if later else None, len(counts), name, others, what)
    at = int(number)
    return _Found(counts[at - 1] if 1 <= at <= len(counts) else None, len(counts), name, others, what)


def _hint(found: _Found) -> str:
    if found.there:
        return f"it has {found.there} of them"
    if near := difflib.get_close_matches(found.name, found.others, n=3):
        return f"it has {', '.join(near)}, …"
    if found.what == EVENT:
        return "accesses are R REGISTER and W REGISTER"
    return "functions that the compiler has put into others are none; `replay --trace-functions` shows those there are"
