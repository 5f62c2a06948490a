# SPDX-License-Identifier: GPL-2.0-or-later
"""The geometry of a page's plots: numbers and paths for the template to put into SVG. Pure functions; no text of
anybody's goes through here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final

from panthorlab.outcome import Outcome, Side
from panthorlab.verdict.model import IterationResult
from panthorlab.verdict.side import SideResult

RATE_WIDTH: Final = 240
STRIP_WIDTH: Final = 900
_COLUMNS: Final = 720
_TALL: Final = 22
_LABELLED: Final = 12
"""Boots that have room for their names."""


class Mark(StrEnum):
    """What became of an iteration, for a plot."""

    CLEAN = "clean"
    FAULTY = "faulty"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RanMark:
    """One iteration, in the order in which they ran."""

    side: Side
    boot: str
    mark: Mark


def marks_of(iterations: Iterable[IterationResult]) -> Iterator[RanMark]:
    """What the stopping rule left out, or a test skipped, never ran."""
    for one in iterations:
        if one.counts:
            yield RanMark(one.side, one.boot, Mark.FAULTY if one.faulty else Mark.CLEAN)
        elif one.outcome is not Outcome.SKIP and not one.cut:
            yield RanMark(one.side, one.boot, Mark.LOST)


@dataclass(frozen=True)
class Whisker:
    """A rate and its interval: `low`, `high` and `at` on a line from 4 to RATE_WIDTH - 4."""

    low: float
    high: float
    at: float


def whisker(side: SideResult) -> Whisker | None:
    """None without evidence."""
    if not side.iterations:
        return None

    def x(rate: float) -> float:
        return round(4 + (RATE_WIDTH - 8) * rate, 1)

    low, high = side.interval
    return Whisker(x(low), x(high), x(side.rate))


@dataclass(frozen=True)
class BootSpan:
    """A boot in a strip: where it begins and ends. `label`: empty if there is no room for it."""

    begin: float
    end: float
    label: str


@dataclass(frozen=True)
class Strip:
    """The iterations of one side from left to right. `faulty`, `lost`: paths of columns whose height is the share of
    these among the iterations that they stand for; `each`: how many these are."""

    side: Side
    boots: tuple[BootSpan, ...]
    faulty: str
    lost: str
    total: int
    faulty_total: int
    lost_total: int
    each: int


def strips(ran: Sequence[RanMark]) -> list[Strip]:
    """One for each side that ran anything."""
    own = {side: [mark for mark in ran if mark.side is side] for side in Side}
    return [_strip(side, marks) for side, marks in own.items() if marks]


def _strip(side: Side, marks: Sequence[RanMark]) -> Strip:
    order = {boot: number for number, boot in enumerate(dict.fromkeys(mark.boot for mark in marks))}
    marks = sorted(marks, key=lambda mark: order[mark.boot])  # boots of several boards run at the same time
    each = -(-len(marks) // _COLUMNS)
    gap = min(6.0, 60.0 / len(order))
    step = (STRIP_WIDTH - gap * len(order)) * each / len(marks)
    x = 0.0
    boots: list[BootSpan] = []
    paths: dict[Mark, list[str]] = {Mark.FAULTY: [], Mark.LOST: []}
    for boot, members in groupby(marks, key=lambda mark: mark.boot):
        begin, own = x, list(members)
        for index in range(0, len(own), each):
            column = own[index : index + each]
            width = step * len(column) / each
            for mark, path in paths.items():
                if count := sum(one.mark is mark for one in column):
                    height = max(2.0, _TALL * count / len(column))
                    path.append(f"M{x:.1f} {_TALL + 2}v-{height:.1f}h{width:.1f}v{height:.1f}z")
            x += width
        boots.append(BootSpan(round(begin, 1), round(x, 1), boot if len(order) <= _LABELLED else ""))
        x += gap
    total = Counter(mark.mark for mark in marks)
    faulty, lost = ("".join(path) for path in paths.values())
    return Strip(side, tuple(boots), faulty, lost, len(marks), total[Mark.FAULTY], total[Mark.LOST], each)
