# SPDX-License-Identifier: GPL-2.0-or-later
"""More of *before*, when *after* shows something new that the numbers cannot carry. Fixed before any run.

Three times as many iterations of *after* as of *before* would otherwise make `regressed` of every rare warning that
both kernels have. What is asked for follows from what was seen and from constants alone (`reach`), it is asked for
once, and never of *after*: see `novelty` for what is then decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from panthorlab.verdict.model import BootResult, IterationResult, Plan
from panthorlab.verdict.novelty import candidates, lacks
from panthorlab.verdict.sightings import BOOT, sightings


@dataclass(frozen=True, slots=True)
class Extension:
    """What *before* gets on top of its plan, since *after* showed something new that the numbers cannot carry.

    `iterations`: more iterations by workload. `boots`: more boots, for what was seen in no iteration. `why`: one
    sentence per new finding.
    """

    iterations: Mapping[str, int] = field(default_factory=dict)
    boots: int = 0
    why: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.iterations) or self.boots > 0


def extension(iterations: Iterable[IterationResult], boots: Iterable[BootResult], plan: Plan) -> Extension:
    """What *before* is still to run; nothing if nothing undecided is new, or if it had it already (`plan.extended`)."""
    if plan.extended or plan.identical:
        return Extension()
    more: dict[str, int] = {}
    why: dict[tuple[str, tuple[int, int], str], list[str]] = {}
    for lack in lacks(candidates(sightings(iterations, {boot.id: boot for boot in boots}, plan.known))):
        more[lack.place] = max(more.get(lack.place, 0), lack.wanted - lack.has)
        shown = lack.candidate.places[lack.place].after
        given = f"before gets {lack.wanted - lack.has} more {lack.unit}"
        why.setdefault((lack.place, shown, given), []).append(lack.candidate.name)
    extra_boots = more.pop(BOOT, 0)
    return Extension(
        dict(sorted(more.items())),
        extra_boots,
        tuple(
            f"{', '.join(names)}: new on after ({shown[0]}/{shown[1]} of {place}); {given}"
            for (place, shown, given), names in why.items()
        ),
    )
