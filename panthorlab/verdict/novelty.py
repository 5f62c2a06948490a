# SPDX-License-Identifier: GPL-2.0-or-later
"""What *after* shows that *before* does not: finding kinds and signatures blamed on the kernel.

What could have killed the machine (`DEADLY`) and *before* lacks is a regression, however rare. Of anything else the
numbers decide: a regression if *after* has it more often with p < `NEW_ALPHA`. If they are too few to say so, *before*
gets more iterations of that workload first (`extension`); what is undecided even then is shown with its p and blamed on
nobody. What *before* has too is a regression only with p < `ALPHA`, where it is no declared kind: those are compared
as rates.

p of a name is the smaller of two, twice: over all workloads together (each of them, on each board, a stratum), and of
the one workload that shows it best. A workload's own p is the smaller of two, twice: of how many iterations show it,
and of how soon each boot first does, which alone tells of what the kernel says once per boot. Names that were always
seen together are one; over the others Holm's adjustment holds. `tests/unit/verdict/test_extension.py` simulates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from panthorlab.outcome import Side
from panthorlab.verdict.finding import KnownFinding, NewFinding
from panthorlab.verdict.model import BootResult, IterationResult, Plan
from panthorlab.verdict.reach import boots_wanted, iterations_wanted, none_on_before
from panthorlab.verdict.sightings import BOOT, DEADLY, NO_BOOT, Sighting, SightingCounts, count, kind_of, sightings
from panthorlab.verdict.stats import ALPHA, holm
from panthorlab.verdict.strata import stratified_fisher

NEW_ALPHA = 0.005
"""p below which something new is a regression. Half of the share of runs with equal sides that may be called so, 1 %:
how much *before* runs in the end depends on what was seen, so p is a little too good."""


@dataclass(frozen=True)
class Candidate:
    """One kind or signature that *after* shows, where it is to be judged. `p`: adjusted, None where none is needed."""

    what: str
    name: str
    members: Sequence[Sighting]
    new: bool
    """*before* has it nowhere."""
    p: float | None = None

    @cached_property
    def places(self) -> dict[str, SightingCounts]:
        """Counts by place, of those where *after* shows it."""
        shown = {s.place for s in self.members if s.side is Side.AFTER and self.name in s.names}
        by_place = _by_place(s for s in self.members if s.place in shown)
        return {place: count(self.name, own) for place, own in sorted(by_place.items())}

    @property
    def deadly(self) -> bool:
        return self.new and kind_of(self.name) in DEADLY

    @property
    def seen(self) -> frozenset[int]:
        """In which of the run's sightings it is; equal for names that were always seen together."""
        return frozenset(id(member) for member in self.members if self.name in member.names)

    @cached_property
    def spread(self) -> int:
        """How many p values are looked at for it, each worth so much less."""
        everywhere = {member.place for member in self.members if self.name in member.names}
        return 2 * len(self.places) if len(everywhere) > 1 else 1

    @property
    def regressed(self) -> bool:
        if self.deadly:
            return any(counts.after[0] for counts in self.places.values())
        return self.p is not None and self.p < (NEW_ALPHA if self.new else ALPHA)

    def raw_p(self) -> float:
        own = [place_p(place, counts) for place, counts in self.places.items()]
        if self.spread == 1:
            return min(own)
        in_workloads = count(self.name, [member for member in self.members if member.place != BOOT])
        pooled = stratified_fisher(in_workloads.tables)[1]
        return min(1.0, 2 * pooled, self.spread * min(own))


def place_p(place: str, counts: SightingCounts) -> float:
    """p of one name in one place, for *after* having it more often."""
    if place == BOOT:
        (before, boots), (after, of) = counts.before, counts.after
        return stratified_fisher(counts.tables)[1] if before or not of else none_on_before(after, of, boots)
    early = stratified_fisher(counts.first)[1] if counts.first_after[0] > 1 else 1.0  # one boot's luck is no proof
    return min(1.0, 2 * stratified_fisher(counts.tables)[1], 2 * early)


def candidates(seen: Sequence[Sighting]) -> list[Candidate]:
    """Everything on *after* that may be new, with its p."""
    on_before = frozenset[str]().union(*(s.names for s in seen if s.side is Side.BEFORE))
    on_after = frozenset[str]().union(*(s.names for s in seen if s.side is Side.AFTER))
    kinds = frozenset[str]().union(*(s.kinds for s in seen))
    by_place = _by_place(seen)
    declared = {place: frozenset[str]().union(*(s.declared for s in own)) for place, own in by_place.items()}
    found = []
    for name in sorted(on_after):
        new = name not in on_before
        # the rates of declared kinds are compared as such, unless *before* has nothing of the kind
        members = [s for s in seen if new or kind_of(name) not in declared[s.place]]
        if any(name in member.names and member.side is Side.AFTER for member in members):
            found.append(Candidate("kind" if name in kinds else "signature", name, members, new))
    return _adjusted(found)


def _adjusted(found: Sequence[Candidate]) -> list[Candidate]:
    tested = [candidate for candidate in found if not candidate.deadly]
    groups: dict[frozenset[int], float] = {}
    for candidate in tested:
        groups[candidate.seen] = max(groups.get(candidate.seen, 0.0), candidate.raw_p())
    adjusted = dict(zip(groups, holm(list(groups.values())), strict=True))
    return [candidate if candidate.deadly else replace(candidate, p=adjusted[candidate.seen]) for candidate in found]


def _by_place(seen: Iterable[Sighting]) -> dict[str, list[Sighting]]:
    by_place: dict[str, list[Sighting]] = {}
    for sighting in seen:
        by_place.setdefault(sighting.place, []).append(sighting)
    return by_place


@dataclass(frozen=True, slots=True)
class Lack:
    """In one place *before* has run too little to say whether it has one candidate, too: it has `has` units of the
    `wanted` (iterations, or boots at the place `BOOT`)."""

    candidate: Candidate
    place: str
    has: int
    wanted: int

    @property
    def unit(self) -> str:
        return "boots" if self.place == BOOT else f"iterations of {self.place}"


def lacks(found: Sequence[Candidate]) -> list[Lack]:
    """Where more of *before* is needed before anything can be said."""
    undecided = [candidate for candidate in found if not candidate.deadly and not candidate.regressed]
    rivals = len({candidate.seen for candidate in found if not candidate.deadly})
    short = []
    for candidate in undecided:
        for place, counts in candidate.places.items():
            if counts.before[0] or not counts.after[0]:
                continue
            level = NEW_ALPHA / (rivals * candidate.spread)
            if place == BOOT:
                has, wanted = counts.before[1], boots_wanted(*counts.after, level)
            else:
                own = [s for s in candidate.members if s.place == place and s.sound]
                has = sum(1 for s in own if s.side is Side.BEFORE)
                hits = sum(1 for s in own if s.side is Side.AFTER and candidate.name in s.names)
                total = sum(1 for s in own if s.side is Side.AFTER)
                wanted = iterations_wanted((hits, total), counts.first_after, level / 2)
            if has < wanted:
                short.append(Lack(candidate, place, has, wanted))
    return short


def new_findings(
    iterations: Iterable[IterationResult], boots: Mapping[str, BootResult], plan: Plan
) -> tuple[NewFinding, ...]:
    """Everything on *after* that is new there, run-wide or in its workload; and what a list says is known."""
    seen = sightings(iterations, boots, plan.known)
    found = candidates(seen)
    short = [] if plan.extended else lacks(found)
    findings = [_finding(one, place, counts, short) for one in found for place, counts in one.places.items()]
    findings += _known(seen, plan.known)
    return tuple(sorted((new for new in findings if new), key=lambda new: (new.where, new.what, new.name)))


def comparable(found: Sequence[NewFinding], beyond: Sequence[str]) -> tuple[NewFinding, ...]:
    """What could have killed *after* in one of its tests blames the patch only if *before* has run them all. `beyond`:
    those that it has not, for its kernel had died of something else."""

    def one(finding: NewFinding) -> NewFinding:
        deadly = finding.regressed and finding.p is None and kind_of(finding.name) != NO_BOOT
        if not beyond or not deadly or finding.where != BOOT:
            return finding
        more = f" and {len(beyond) - 1} more tests" if len(beyond) > 1 else ""
        reason = f"{finding.reason}; before, which died, has not run {beyond[0]}{more}, and may have it, too"
        return replace(finding, regressed=False, obstacle=True, reason=reason)

    return tuple(one(finding) for finding in found)


def _finding(candidate: Candidate, place: str, counts: SightingCounts, short: Sequence[Lack]) -> NewFinding | None:
    """One kind or signature in one place; None if it is nothing new there."""
    before, after = counts.before, counts.after
    shown = f"{candidate.name} in {after[0]}/{after[1]} of {place} on after, {before[0]}/{before[1]} on before"

    def finding(reason: str, *, regressed: bool = False, obstacle: bool = False) -> NewFinding:
        return NewFinding(
            candidate.what,
            candidate.name,
            place,
            before,
            after,
            regressed,
            reason,
            obstacle=obstacle,
            p=None if candidate.deadly else candidate.p,
        )

    if not after[0]:
        if not candidate.new:
            return None
        return finding(
            f"new {candidate.what} on after, but only in iterations that cannot count: {candidate.name} in {place}",
            obstacle=True,
        )
    if candidate.deadly:
        return finding(f"new {candidate.what} on after: {shown}", regressed=True)
    p = f"p {candidate.p:.1g}"
    if candidate.regressed and (not before[0] or _best(candidate) == place or place_p(place, counts) < ALPHA):
        new = f"new {candidate.what} on after ({p})" if candidate.new else f"more often on after ({p})"
        return finding(f"{new}: {shown}", regressed=True)
    if before[0]:
        return None
    lack = next((lack for lack in short if lack.candidate is candidate and lack.place == place), None)
    where = f"new {candidate.what} on after" if candidate.new else "not in this workload on before, though elsewhere"
    if lack is not None:
        return finding(
            f"{where}: {shown}; before would need {lack.wanted} {lack.unit} to tell, it has {lack.has}", obstacle=True
        )
    return finding(f"{where}, too seldom to blame the patch ({p}): {shown}")


def _best(candidate: Candidate) -> str:
    return min(candidate.places, key=lambda place: place_p(place, candidate.places[place]))


def _known(seen: Sequence[Sighting], known: Sequence[KnownFinding]) -> list[NewFinding]:
    """What lists of known findings keep from being judged. Blamed on nobody, but what could kill the machine and
    *before* lacks does not go with a good verdict either."""
    on_before = frozenset[str]().union(*(s.names | s.known for s in seen if s.side is Side.BEFORE))
    findings = []
    for place, members in sorted(_by_place(seen).items()):
        after = [s for s in members if s.side is Side.AFTER]
        for name in sorted(frozenset[str]().union(*(s.known for s in after))):

            def many(side: Side, name: str = name, members: Sequence[Sighting] = members) -> tuple[int, int]:
                own = [s for s in members if s.side is side and s.sound]
                return sum(1 for s in own if name in s.known), len(own)

            before, shows = many(Side.BEFORE), many(Side.AFTER)
            deadly = kind_of(name) in DEADLY and name not in on_before
            own = [name, *(s for member in after for s in member.known if kind_of(s) == name)]
            sources = [entry for entry in known if any(entry.matches(place.strip("()"), one) for one in own)]
            entry = f" ({sources[0].source}{f': {sources[0].about}' if sources[0].about else ''})" if sources else ""
            findings.append(
                NewFinding(
                    "kind" if ":" not in name else "signature",
                    name,
                    place,
                    before,
                    shows,
                    False,
                    f"known{entry}: {name} in {shows[0]}/{shows[1]} of {place} on after, "
                    f"{before[0]}/{before[1]} on before"
                    + ("; it could kill the machine, and before lacks it" if deadly else ""),
                    obstacle=deadly,
                )
            )
    return findings
