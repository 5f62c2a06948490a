# SPDX-License-Identifier: GPL-2.0-or-later
"""Iterations that show what there is to explore, and what strategy aimed makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.board.calls import DriverCode
from panthorlab.errors import LabError
from panthorlab.run.explore.aim import Aim, LateRun, block_aims, gap_aims
from panthorlab.run.explore.course import Course, read_course
from panthorlab.run.explore.hits import targets_in
from panthorlab.run.explore.orders import Interleaving
from panthorlab.run.explore.points import span

Aims = dict[str, list[Aim]]


@dataclass(frozen=True)
class DryRun:
    """An iteration, and the logs of its boot."""

    log_dir: Path
    order: Interleaving

    def course(self, code: DriverCode | None) -> Course | None:
        """What the driver did; None if that is not known."""
        return read_course(self.log_dir, self.order, code.places) if code is not None else None

    def bounds(self, code: DriverCode | None, between: tuple[str, str] | None) -> tuple[int, int] | None:
        """The instruction counts of the two points, if some were given. Raises UsageError if one is not there."""
        return span(self.order, self.course(code), *between) if between else None

    def late(self, code: DriverCode) -> LateRun | None:
        """None if no event was to be late."""
        target = targets_in(self.log_dir).get(self.order.window)
        if target is None:
            return None
        return LateRun(target.kind, target.number, self.order, read_course(self.log_dir, self.order, code.places))


def aims_at_gaps(dry: Mapping[str, DryRun], seed: int, kinds: tuple[str, ...], between: tuple[str, str] | None) -> Aims:
    """By workload, what is aimed at if the driver's code is not known. Raises UsageError."""
    return {
        name: gap_aims(one.order, seed=seed, kinds=kinds, between=one.bounds(None, between))
        for name, one in dry.items()
    }


def aims_at_blocks(
    late: Mapping[str, Sequence[Aim]],
    made: Mapping[str, Sequence[DryRun]],
    code: DriverCode,
    seed: int,
    between: tuple[str, str] | None,
) -> Aims:
    """By workload, what is aimed at if it is. `late`: the events that were late, `made`: the iterations in which they
    were. Raises LabError if a workload has none."""
    runs = {name: [run for one in made.get(name, ()) if (run := one.late(code)) is not None] for name in late}
    if missing := [name for name, events in late.items() if events and not runs[name]]:
        raise LabError(
            f"no iteration of {missing[0]} shows which blocks of the driver begin before an event that is late",
            hint="an exploration that another version has begun cannot go on: choose another --output",
        )
    return {name: block_aims(own, seed=seed, between=between) for name, own in runs.items()}
