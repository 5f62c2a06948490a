# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver's code did in an iteration: which of its functions ran, and which of its blocks began while the board
wrote that down. Pure but for reading its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.board.calls import LOG_WRITE, CodePlace
from panthorlab.gpu.exact.passed import FILE, BlockBegin, CpuHeld, Passed, read
from panthorlab.kernel.symbols import COLD
from panthorlab.run.explore.orders import Interleaving


@dataclass(frozen=True)
class FunctionCall:
    """`begin`, `end`: instructions before its first and last one; `end` is None if it was not left."""

    name: str
    begin: int
    end: int | None


@dataclass(frozen=True)
class Course:
    """One iteration. Both in order."""

    blocks: Sequence[BlockBegin]
    calls: Sequence[FunctionCall]


def read_course(log_dir: Path, order: Interleaving, places: Mapping[int, CodePlace]) -> Course:
    """Of an iteration of a boot. `places`: see `DriverCode`. Raises OSError."""
    return course_of(read(log_dir / FILE, (order.begin, order.last)), order, places)


def course_of(
    written: Iterable[Passed | CpuHeld | BlockBegin], order: Interleaving, places: Mapping[int, CodePlace]
) -> Course:
    """Of what a boot has written, what belongs to the iteration."""
    own = [one for one in written if order.begin <= one.count <= order.last]
    passed = [one for one in own if isinstance(one, Passed) and places[one.address].name != LOG_WRITE]
    return Course([one for one in own if isinstance(one, BlockBegin)], _calls(passed, places))


def _calls(passed: Sequence[Passed], places: Mapping[int, CodePlace]) -> list[FunctionCall]:
    """A function is left where it or its cold part ends with the stack pointer that it had at its entry."""
    made: list[FunctionCall] = []
    running: dict[tuple[str, int], int] = {}
    for one in passed:
        place = places[one.address]
        key = place.name.partition(COLD)[0], one.stack
        if place.enters:
            running[key] = len(made)
            made.append(FunctionCall(place.name, one.count, None))
        if place.leaves and (at := running.pop(key, None)) is not None:
            made[at] = FunctionCall(made[at].name, made[at].begin, one.count)
    return made
