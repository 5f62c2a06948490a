# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of the kinds that a claim declares, outside any iteration that counts.

They stand in the way of `fixed` and `clean` whatever *before* shows, and are counted one by one. A fault belongs to the
claim whose iteration's end marker came last before it; one that came after something else (a watch, a plain test, the
start) may be anybody's, and each claim must be good with it. What a plain test provoked on purpose is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from panthorlab.outcome import Role, Side
from panthorlab.verdict.finding import OutsideFinding
from panthorlab.verdict.model import BootResult, IterationResult
from panthorlab.verdict.side import SideResult
from panthorlab.verdict.tally import Use, use_of

NAMED = 3
"""So many are named one by one; of more, the first, and how late they were."""


@dataclass(frozen=True, slots=True)
class Late:
    """Such faults of *after*, for one claim.

    `count`: those of boots that count. `faulty`: the claim's faulty iterations with them. `p_fewer` and `p_more`: of
    these counts, adjusted like the claim's own; None if a side has nothing that counts. `summary`: the faults in words.
    """

    count: int
    faulty: int
    p_fewer: float | None
    p_more: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults outside iterations that count: `sound` in boots that count, `spoiled` in others and in iterations that
    the lab or the test has spoiled."""

    sound: tuple[tuple[str, OutsideFinding], ...] = ()
    spoiled: tuple[OutsideFinding, ...] = ()

    @property
    def by_boot(self) -> Mapping[str, int]:
        return Counter(boot for boot, _ in self.sound)

    def __bool__(self) -> bool:
        return bool(self.sound or self.spoiled)

    @property
    def summary(self) -> str:
        """How many, and where the first of them were."""
        found = [finding for _, finding in self.sound] + list(self.spoiled)
        ordered = sorted(found, key=lambda f: (f.marker, f.timestamp or 0.0, f.kind))
        shown = ordered if len(ordered) <= NAMED else ordered[:1]
        named = "; ".join(f"{finding.kind} {finding.place}" for finding in shown)
        delays = [finding.delay for finding in found if finding.delay is not None]
        if len(shown) < len(found):
            named = f"the first: {named}"
            if len(set(delays)) > 1:
                named += f"; {min(delays):.3g} to {max(delays):.3g} s after the nearest marker"
        spoiled = f", {len(self.spoiled)} of them where nothing can count" if self.spoiled else ""
        faults = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        return f"{faults} outside iterations on after{spoiled} ({named})"


class OutsideFaults:
    """All of a run, to be asked for those of one claim."""

    def __init__(self, iterations: Iterable[IterationResult], boots: Mapping[str, BootResult]) -> None:
        self._boots = boots
        claims = [iteration for iteration in iterations if iteration.role is Role.CLAIM]
        self._owners = {iteration.id: iteration.workload for iteration in claims}
        used = ((iteration, use_of(iteration, boots)) for iteration in claims if iteration.kinds)
        self._uncounted = [(iteration, use) for iteration, use in used if use is not Use.COUNTED]

    def of(self, side: Side, claim: str, declared: frozenset[str], *, whosever: bool = False) -> Faults:
        """Those that may be `claim`'s, of its kinds; with `whosever`, also those that are another claim's."""
        sound: list[tuple[str, OutsideFinding]] = []
        spoiled: list[OutsideFinding] = []
        for boot in self._boots.values():
            if boot.side is not side:
                continue
            for finding in _findings(boot):
                owner = self._owners.get(finding.marker)
                if finding.expected or finding.kind not in declared or not (whosever or owner in (None, claim)):
                    continue
                if boot.usable or boot.died_of_kernel:
                    sound.append((boot.id, finding))
                else:
                    spoiled.append(finding)
        for iteration, use in self._uncounted:
            if iteration.side is side and iteration.workload == claim and (own := iteration.kinds & declared):
                finding = OutsideFinding(min(own), marker=iteration.id, workload=claim)
                if use is Use.LOST:
                    sound.append((iteration.boot, finding))
                else:
                    spoiled.append(finding)
        return Faults(tuple(sound), tuple(spoiled))


def _findings(boot: BootResult) -> Sequence[OutsideFinding]:
    """One by one; one each of kinds of which only the kind is known."""
    seen = {finding.kind for finding in boot.outside}
    return [*boot.outside, *(OutsideFinding(kind) for kind in sorted(boot.kinds - seen))]


def counted_in(side: SideResult, faults: Mapping[str, int]) -> SideResult:
    """`side` as it would be if these faults had been in iterations of the same boots that had none."""
    boots = tuple(
        replace(boot, faulty=min(boot.iterations, boot.faulty + faults.get(boot.boot, 0))) for boot in side.boots
    )
    return replace(side, boots=boots, faulty=sum(boot.faulty for boot in boots))
