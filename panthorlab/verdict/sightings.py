# SPDX-License-Identifier: GPL-2.0-or-later
"""Where each kind and signature was seen: one record per iteration and per boot, ready to be counted.

A finding outside iterations belongs to the iteration whose end marker came last before it, since it is more of that
workload that would show it again; if there is none, to the boot. What a plain test provoked on purpose is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.finding import KnownFinding, OutsideFinding
from panthorlab.verdict.model import BootResult, IterationResult
from panthorlab.verdict.strata import Table
from panthorlab.verdict.tally import Use, use_of

BOOT = "(boot)"
"""Place of findings that belong to no iteration."""

BOOT_IN_LISTS = "boot"
"""What lists of known findings call that place."""

PROGRAM_FAILED = "program-failed"
"""Kind of an iteration whose program, job or sentinel failed, with or without anything in the log."""

NO_BOOT = "no-boot"
"""Kind of a boot in which the kernel did not come up."""

DIED = "kernel-died"
"""Kind of a boot in which the kernel came up and died later."""

DEADLY = frozenset({"oops", "panic", "kasan", "lockdep", NO_BOOT, DIED})
"""Kinds of what killed the machine or could have: one that *before* lacks decides alone."""


WAITED = frozenset({"job-timeout", "firmware-error", "power-error", "gpu-reset", "hung-task", "stall"})
"""Kinds of what waited in vain: for a device that is broken, or for one that the host did not let run."""


def kind_of(name: str) -> str:
    """The kind of a signature; of a kind, itself."""
    return name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one iteration or boot shows. `sound`: it is evidence for or against the kernel, not spoiled by lab or test.
    `kinds`: those of `names` that are no signatures. `known`: what a list of known findings took out of `names`."""

    place: str
    board: str
    boot: str
    order: tuple[int, str]
    side: Side
    names: frozenset[str]
    kinds: frozenset[str]
    declared: frozenset[str]
    once: frozenset[str]
    known: frozenset[str]
    sound: bool


def sightings(
    iterations: Iterable[IterationResult], boots: Mapping[str, BootResult], known: Sequence[KnownFinding]
) -> list[Sighting]:
    """All of a run, in no order that means anything."""
    late: dict[str, list[OutsideFinding]] = {}
    for boot in boots.values():
        for finding in boot.outside:
            if finding.marker and not finding.expected:
                late.setdefault(finding.marker, []).append(finding)
    iterations = tuple(iterations)
    ids = {iteration.id for iteration in iterations}
    seen = [_of_iteration(iteration, boots, late.get(iteration.id, ()), known) for iteration in iterations]
    return seen + [_of_boot(boot, ids, known) for boot in boots.values()]


def _of_iteration(
    iteration: IterationResult,
    boots: Mapping[str, BootResult],
    late: Sequence[OutsideFinding],
    known: Sequence[KnownFinding],
) -> Sighting:
    use = use_of(iteration, boots)
    sound = use in (Use.COUNTED, Use.LOST)
    after = frozenset(finding.kind for finding in late)
    found = iteration.kinds | after
    blamed, passed_over = without_known(
        (iteration.workload,), iteration.kinds, iteration.signatures, known, iteration.declared_kinds
    )
    late_blamed, late_passed_over = without_known(
        (iteration.workload, BOOT_IN_LISTS),
        after,
        frozenset(f.signature for f in late if f.signature),
        known,
        iteration.declared_kinds,
    )
    blamed |= late_blamed
    passed_over = (passed_over | late_passed_over) - blamed
    unexplained = iteration.outcome is Outcome.FAIL and iteration.blame is Blame.KERNEL and not iteration.kinds
    if (iteration.program_failed and sound) or unexplained:
        blamed |= {PROGRAM_FAILED}
        found |= {PROGRAM_FAILED}
    board = boots[iteration.boot].board if sound else ""
    return Sighting(
        iteration.workload,
        board,
        iteration.boot,
        (iteration.order, iteration.id),
        iteration.side,
        blamed,
        blamed & found,
        iteration.declared_kinds,
        iteration.once | (iteration.declared_kinds if iteration.per_boot else frozenset()),
        passed_over,
        sound,
    )


def _of_boot(boot: BootResult, ids: Iterable[str], known: Sequence[KnownFinding]) -> Sighting:
    own = [f for f in boot.outside if not f.expected and f.marker not in ids]
    kinds = boot.kinds | {finding.kind for finding in own}
    signatures = boot.signatures | {finding.signature for finding in own if finding.signature}
    blamed, passed_over = without_known((BOOT_IN_LISTS,), kinds, signatures, known, frozenset())
    if boot.died_of_kernel:
        blamed |= {DIED if boot.booted else NO_BOOT}
        kinds |= {DIED, NO_BOOT}
    sound = boot.usable or boot.died_of_kernel
    return Sighting(
        BOOT,
        boot.board,
        boot.id,
        (0, boot.id),
        boot.side,
        blamed,
        blamed & kinds,
        frozenset(),
        frozenset(),
        passed_over,
        sound,
    )


def without_known(
    places: Sequence[str],
    kinds: frozenset[str],
    signatures: frozenset[str],
    known: Sequence[KnownFinding],
    declared: frozenset[str],
) -> tuple[frozenset[str], frozenset[str]]:
    """(what is left of kinds and signatures, what a list takes out). `places`: what a list may call where they were
    seen. A kind in the list takes its signatures with it,
    and is itself known if all its signatures are. What a workload declares is what it is there to find: no list
    touches that."""
    if not known:
        return kinds | signatures, frozenset()
    listed = frozenset(
        name for name in kinds | signatures if any(entry.matches(place, name) for entry in known for place in places)
    )
    listed -= {name for name in listed if kind_of(name) in declared}
    out = {name for name in signatures if name in listed or kind_of(name) in listed}
    for kind in kinds - declared:
        own = {name for name in signatures if kind_of(name) == kind}
        if kind in listed or (own and own <= out):
            out.add(kind)
    return (kinds | signatures) - out, frozenset(out)


@dataclass(frozen=True, slots=True)
class SightingCounts:
    """How often one name was seen in some places, by stratum (board and place): in how many of all units, and, by
    first sightings alone, after how many. `before` and `after` are sums over the strata."""

    tables: tuple[Table, ...]
    first: tuple[Table, ...]

    @property
    def before(self) -> tuple[int, int]:
        return sum(table[0] for table in self.tables), sum(table[1] for table in self.tables)

    @property
    def after(self) -> tuple[int, int]:
        return sum(table[2] for table in self.tables), sum(table[3] for table in self.tables)

    @property
    def first_after(self) -> tuple[int, int]:
        """Of *after*: (boots that showed it, units up to the first time in each and all of the others)."""
        return sum(table[2] for table in self.first), sum(table[3] for table in self.first)


def count(name: str, members: Iterable[Sighting]) -> SightingCounts:
    """Count `name` in `members`. Units are iterations (or boots, at the place `BOOT`); boots, where it is of a kind
    that is told once per boot."""
    strata: dict[tuple[str, str], dict[tuple[Side, str], list[Sighting]]] = {}
    for member in members:
        if member.sound:
            by_boot = strata.setdefault((member.place, member.board), {})
            by_boot.setdefault((member.side, member.boot), []).append(member)
    tables, first = [], []
    for _, by_boot in sorted(strata.items()):
        table, early = [0, 0, 0, 0], [0, 0, 0, 0]
        once = any(kind_of(name) in member.once for own in by_boot.values() for member in own)
        for (side, _), own in by_boot.items():
            at = 2 * (side is Side.AFTER)
            hits = [name in member.names for member in sorted(own, key=lambda member: member.order)]
            table[at] += any(hits) if once else sum(hits)
            table[at + 1] += 1 if once else len(hits)
            early[at] += any(hits)
            early[at + 1] += hits.index(True) + 1 if any(hits) else len(hits)
        tables.append((table[0], table[1], table[2], table[3]))
        first.append((early[0], early[1], early[2], early[3]))
    return SightingCounts(tuple(tables), tuple(first))
