# SPDX-License-Identifier: GPL-2.0-or-later
"""More of *before*, when *after* shows something new that the numbers cannot carry. Fixed before any run.

Three times as many iterations of *after* as of *before* would otherwise make `regressed` of every rare warning that both
kernels have. What is asked for follows from what was seen and from constants alone (`reach`), it is asked for once, and
never of *after*: see `novelty` for what is then decided.
"""

from __future__ import annotations

from collections.abc import Iterable

from panthorlab.verdict.model import BootResult, Extension, IterationResult, Plan
from panthorlab.verdict.novelty import lacks, names
from panthorlab.verdict.sightings import BOOT, sightings


def extension(iterations: Iterable[IterationResult], boots: Iterable[BootResult], plan: Plan) -> Extension:
    """What *before* is still to run; nothing if nothing undecided is new, or if it had it already (`plan.extended`)."""
    if plan.extended or plan.identical:
        return Extension()
    more: dict[str, int] = {}
    why = []
    for lack in lacks(names(sightings(iterations, {boot.id: boot for boot in boots}, plan.known))):
        more[lack.place] = max(more.get(lack.place, 0), lack.wanted - lack.has)
        shown = lack.name.places[lack.place].after
        why.append(
            f"{lack.name.name} is new on after ({shown[0]}/{shown[1]} of {lack.place}): "
            f"before gets {lack.wanted - lack.has} more {lack.unit}"
        )
    extra_boots = more.pop(BOOT, 0)
    return Extension(dict(sorted(more.items())), extra_boots, tuple(dict.fromkeys(why)))
