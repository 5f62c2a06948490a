# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes that the patch does not claim. What is worse is a verdict already; what seems better is only mentioned.

Fewer faults where none were to go may be faults that nobody hears of any more: a lost interrupt makes every rate fall.
Where a claim itself has significantly fewer, others of its kind follow from that, and are no surprise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from panthorlab.outcome import Outcome, Role, Side
from panthorlab.verdict.finding import Surprise
from panthorlab.verdict.model import BootResult, Expect, IterationResult, Plan, TestResult, WorkloadVerdict
from panthorlab.verdict.novelty import candidates
from panthorlab.verdict.sightings import Sighting, sightings
from panthorlab.verdict.stats import ALPHA, holm

HIDDEN = "nothing claims that; is it still noticed there?"


def surprises(
    workloads: Sequence[WorkloadVerdict],
    iterations: Iterable[IterationResult],
    boots: Mapping[str, BootResult],
    tests: Iterable[TestResult],
    fixed: Iterable[str],
    plan: Plan,
) -> tuple[Surprise, ...]:
    """`workloads`: as they were judged. `fixed`: tests that failed on *before* alone."""
    claimed = plan.expect is Expect.FIX and any(
        w.role is Role.CLAIM and w.p_fewer is not None and w.p_fewer < ALPHA for w in workloads
    )
    found = [surprise for w in workloads for surprise in _rates(w, plan, claimed=claimed)]
    if not claimed:
        found += _gone(sightings(iterations, boots, plan.known))
        found += _tests(tests, frozenset(fixed))
    return tuple(found)


def _rates(workload: WorkloadVerdict, plan: Plan, *, claimed: bool) -> list[Surprise]:
    before, after = workload.before, workload.after
    if workload.role is Role.CLAIM and plan.expect is Expect.FIX:
        return []
    counts = (before.faulty, before.iterations), (after.faulty, after.iterations)
    numbers = f"{before.faulty}/{before.iterations} before, {after.faulty}/{after.iterations} after"

    def surprise(p: float, words: str, *, fewer: bool) -> Surprise:
        return Surprise(workload.name, "faulty", *counts, fewer, p, f"{workload.name}: {words}: {numbers} (p {p:.1g})")

    if workload.p_more is not None and workload.p_more < ALPHA:
        return [surprise(workload.p_more, "faulty more often", fewer=False)]
    if workload.p_fewer is not None and workload.p_fewer < ALPHA and not claimed:
        return [surprise(workload.p_fewer, f"faulty less often, and {HIDDEN}", fewer=True)]
    return []


def _gone(seen: Sequence[Sighting]) -> list[Surprise]:
    """Kinds that *after* has significantly less often: what is new, sides exchanged. Declared ones are rates."""
    other = {Side.BEFORE: Side.AFTER, Side.AFTER: Side.BEFORE}
    exchanged = [replace(sighting, side=other[sighting.side]) for sighting in seen]
    declared: dict[str, frozenset[str]] = {}
    for sighting in seen:
        declared[sighting.place] = declared.get(sighting.place, frozenset()) | sighting.declared
    kinds = [kind for kind in candidates(exchanged) if kind.what == "kind"]
    adjusted = holm([kind.raw_p() for kind in kinds])
    return [
        Surprise(
            place,
            kind.name,
            counts.after,
            counts.before,
            True,
            p,
            f"{place}: {kind.name} in {counts.after[0]}/{counts.after[1]} before, {counts.before[0]}/"
            f"{counts.before[1]} after (p {p:.1g}), and {HIDDEN}",
        )
        for kind, p in zip(kinds, adjusted, strict=True)
        if p < ALPHA
        for place, counts in kind.places.items()
        if kind.name not in declared[place] and counts.after[0] * counts.before[1] > counts.before[0] * counts.after[1]
    ]


def _tests(tests: Iterable[TestResult], fixed: frozenset[str]) -> list[Surprise]:
    found = []
    results = [test for test in tests if test.name in fixed]
    for name in sorted(fixed):
        (bad, all_), (bad_after, all_after) = (
            (sum(t.outcome is Outcome.FAIL for t in own), len(own))
            for own in ([t for t in results if t.name == name and t.side is side] for side in Side)
        )
        found.append(
            Surprise(
                name,
                "test",
                (bad, all_),
                (bad_after, all_after),
                True,
                None,
                f"test {name}: fails in {bad} of {all_} boots before and in none after, which nothing claims",
            )
        )
    return found
