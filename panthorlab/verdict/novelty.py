# SPDX-License-Identifier: GPL-2.0-or-later
"""What *after* shows that *before* does not: finding kinds and signatures blamed on the kernel.

A kind or signature that no iteration and no boot of *before* has is a regression, however rare. One that *before* has,
but in another workload, is a regression if it is significantly more frequent where *after* has it (a fix that trades
its fault for a GPU reset must not hide behind a reset test), else it only stands in the way of `fixed` and `clean`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.model import BootResult, IterationResult, NewFinding
from panthorlab.verdict.stats import ALPHA
from panthorlab.verdict.strata import stratified_fisher
from panthorlab.verdict.tally import Use, use_of

BOOT = "(boot)"
"""Place of findings that belong to no iteration."""

PROGRAM_FAILED = "program-failed"
"""Kind of an iteration whose program, job or sentinel failed, with or without anything in the log."""

NO_BOOT = "no-boot"
"""Kind of a boot in which the kernel did not come up."""

DIED = "kernel-died"
"""Kind of a boot in which the kernel came up and died later."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """What one iteration or boot shows. `sound`: it is evidence against the kernel, not spoiled by lab or test."""

    place: str
    board: str
    side: Side
    kinds: frozenset[str]
    signatures: frozenset[str]
    declared: frozenset[str]
    sound: bool


def _of_iteration(iteration: IterationResult, boots: Mapping[str, BootResult]) -> _Sighting:
    use = use_of(iteration, boots)
    sound = use in (Use.COUNTED, Use.LOST)
    kinds = iteration.kinds
    unexplained = iteration.outcome is Outcome.FAIL and iteration.blame is Blame.KERNEL and not kinds
    if (iteration.program_failed and sound) or unexplained:
        kinds |= {PROGRAM_FAILED}
    board = boots[iteration.boot].board if sound else ""
    return _Sighting(
        iteration.workload, board, iteration.side, kinds, iteration.signatures, iteration.declared_kinds, sound,
    )


def _of_boot(boot: BootResult) -> _Sighting:
    kinds = boot.kinds
    if boot.died_of_kernel:
        kinds |= {DIED if boot.booted else NO_BOOT}
    sound = boot.usable or boot.died_of_kernel
    return _Sighting(BOOT, boot.board, boot.side, kinds, boot.signatures, frozenset(), sound)


def new_findings(iterations: Iterable[IterationResult], boots: Mapping[str, BootResult]) -> tuple[NewFinding, ...]:
    """Everything on *after* that is new there, run-wide or in its workload."""
    sightings = [_of_iteration(iteration, boots) for iteration in iterations] + [_of_boot(b) for b in boots.values()]
    known = frozenset[str]().union(
        *(s.kinds | s.signatures for s in sightings if s.side is Side.BEFORE)
    )
    places: dict[str, list[_Sighting]] = {}
    for sighting in sightings:
        places.setdefault(sighting.place, []).append(sighting)
    found = []
    for _, members in sorted(places.items()):
        after = [s for s in members if s.side is Side.AFTER]
        for kind in sorted(frozenset[str]().union(*(s.kinds for s in after))):
            declared = any(kind in s.declared for s in members)
            found.append(_judge("kind", kind, members, run_wide=kind not in known, declared=declared))
        for signature in sorted(frozenset[str]().union(*(s.signatures for s in after)) - known):
            found.append(_judge("signature", signature, members, run_wide=True, declared=False))
    return tuple(finding for finding in found if finding)


def _judge(
    what: str, name: str, members: Sequence[_Sighting], *, run_wide: bool, declared: bool,
) -> NewFinding | None:
    """One kind or signature in one place; None if it is nothing new there."""

    def count(side: Side, board: str | None = None) -> tuple[int, int]:
        sound = [s for s in members if s.side is side and s.sound and board in (None, s.board)]
        return sum(1 for s in sound if name in s.kinds | s.signatures), len(sound)

    before, after = count(Side.BEFORE), count(Side.AFTER)
    place = members[0].place
    shown = f"{name} in {after[0]}/{after[1]} of {place} on after, {before[0]}/{before[1]} on before"
    if run_wide:
        if after[0]:
            return NewFinding(what, name, place, before, after, True, f"new {what} on after: {shown}")
        return NewFinding(
            what, name, place, before, after, False,
            f"new {what} on after, but only in iterations that cannot count: {name} in {place}",
        )
    if declared or not after[0]:
        return None  # the rates of declared kinds are compared as such
    boards = sorted({s.board for s in members if s.sound})
    more = stratified_fisher([(*count(Side.BEFORE, board), *count(Side.AFTER, board)) for board in boards])[1]
    if more < ALPHA:
        return NewFinding(what, name, place, before, after, True, f"more often on after (p {more:.1g}): {shown}")
    if before[0] == 0:
        return NewFinding(
            what, name, place, before, after, False, f"not in this workload on before, though elsewhere: {shown}",
        )
    return None
