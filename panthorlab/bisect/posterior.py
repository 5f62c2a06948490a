# SPDX-License-Identifier: GPL-2.0-or-later
"""How likely each commit is the culprit, after boots of some of them.

A boot of a commit with the culprit shows the fault with probability p, one without it with probability q (noise of the
lab, or the same symptom by another cause). Neither is known. Either the fault is *solid* (p = 1, q = 0: plain
bisection), or both are from Beta distributions: p from a flat one, q from one that expects little noise. All boots,
those of the two ends too, then say what they are. Boots are counted, not iterations: these depend on each other.

Boots *again* are those whose like has shown the fault on another commit: where a seed is a run, they show it on each
bad commit; where it is not, as often as others. So their rate r is another one, from a flat distribution, too.

All commits in one group agree about which tested commits are bad, so they have the same likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from panthorlab.bisect.graph import Graph

SOLID: Final = 0.5
"""How likely a fault is solid before anything is known."""
BAD: Final = (1.0, 1.0)
AGAIN: Final = (1.0, 1.0)
GOOD: Final = (0.5, 24.5)
"""Beta distributions of p, r and q: anything; anything; about 2 %."""


@dataclass(frozen=True)
class Tally:
    """Boots of one commit: with the fault, and without."""

    seen: int = 0
    clean: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.seen + other.seen, self.clean + other.clean)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.seen - other.seen, self.clean - other.clean)

    @property
    def boots(self) -> int:
        return self.seen + self.clean


@dataclass(frozen=True)
class CommitGroup:
    """Commits of equal likelihood. `bad`, `again`, `good`: all boots of commits that are bad (fresh ones, and again) or
    good if one of them is the culprit. `solid`, `flaky`: the likelihoods, not normalised."""

    mask: int
    bad: Tally
    again: Tally
    good: Tally
    solid: float = 0.0
    flaky: float = 0.0

    @property
    def likelihood(self) -> float:
        return self.solid + self.flaky


def mean(prior: tuple[float, float], tally: Tally) -> float:
    """Of the rate of faults, after the boots in `tally`."""
    return (prior[0] + tally.seen) / (sum(prior) + tally.boots)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_marginal(prior: tuple[float, float], tally: Tally) -> float:
    """Logarithm of the probability of the boots in `tally` in their order, whatever the rate is."""
    return _log_beta(prior[0] + tally.seen, prior[1] + tally.clean) - _log_beta(*prior)


@dataclass(frozen=True)
class Chances:
    """How often a boot shows the fault: of a bad commit, `p` a fresh one and `r` one again; `q`: of a good commit."""

    p: float
    r: float
    q: float


@dataclass(frozen=True)
class Posterior:
    """What is known. `tallies`: of fresh boots, by place in the graph, also of the bad end. `good`: of the good end.
    `again`: of boots again, by place."""

    graph: Graph
    tallies: Mapping[int, Tally]
    good: Tally = Tally()
    again: Mapping[int, Tally] = field(default_factory=dict)

    def after(self, place: int, tally: Tally) -> Posterior:
        """With more fresh boots of a commit."""
        return replace(self, tallies={**self.tallies, place: self.tallies.get(place, Tally()) + tally})

    @cached_property
    def groups(self) -> tuple[CommitGroup, ...]:
        """Those whose commits may be the culprit at all, normalised: likelihood × weight sums up to 1."""
        groups = [CommitGroup(self.graph.everyone, Tally(), Tally(), self.good)]
        for place in {**self.tallies, **self.again}:
            fresh, again = self.tallies.get(place, Tally()), self.again.get(place, Tally())
            lineage = self.graph.lineage[place]
            groups = [
                replace(group, mask=part, bad=group.bad + fresh, again=group.again + again)
                if inside
                else replace(group, mask=part, good=group.good + fresh + again)
                for group in groups
                for part, inside in ((group.mask & lineage, True), (group.mask & ~lineage, False))
                if part
            ]
        logs = [
            log_marginal(BAD, group.bad) + log_marginal(AGAIN, group.again) + log_marginal(GOOD, group.good)
            for group in groups
        ]
        top = max([0.0 if self._is_solid(group) else log for group, log in zip(groups, logs, strict=True)])
        made = [
            replace(
                group,
                solid=SOLID * math.exp(-top) if self._is_solid(group) else 0.0,
                flaky=(1 - SOLID) * math.exp(log - top),
            )
            for group, log in zip(groups, logs, strict=True)
        ]
        total = sum(group.likelihood * self.graph.weight(group.mask) for group in made)
        return tuple(replace(group, solid=group.solid / total, flaky=group.flaky / total) for group in made)

    @staticmethod
    def _is_solid(group: CommitGroup) -> bool:
        return not (group.bad.clean or group.again.clean or group.good.seen)

    def of(self, mask: int) -> float:
        """The probability that the culprit is in a set."""
        return sum(group.likelihood * self.graph.weight(group.mask & mask) for group in self.groups)

    def bad(self, place: int) -> float:
        """The probability that a commit is bad."""
        return self.of(self.graph.lineage[place])

    @cached_property
    def solid(self) -> float:
        """The probability that the fault is solid."""
        return sum(group.solid * self.graph.weight(group.mask) for group in self.groups)

    def if_flaky(self, mask: int) -> float:
        """The probability that the culprit is in a set, if the fault is not solid."""
        flaky = [(group, group.flaky) for group in self.groups]
        total = sum(own * self.graph.weight(group.mask) for group, own in flaky)
        return sum(own * self.graph.weight(group.mask & mask) for group, own in flaky) / total if total else 0.0

    @cached_property
    def consistent(self) -> int:
        """The candidates of a solid fault."""
        mask = 0
        for group in self.groups:
            if group.solid:
                mask |= group.mask
        return mask

    @cached_property
    def rates(self) -> Chances:
        """As they are expected if the fault is flaky."""
        rows = [(group, group.flaky * self.graph.weight(group.mask)) for group in self.groups]
        total = sum(own for _, own in rows)
        return Chances(
            p=sum(own * mean(BAD, group.bad) for group, own in rows) / total,
            r=sum(own * mean(AGAIN, group.again) for group, own in rows) / total,
            q=sum(own * mean(GOOD, group.good) for group, own in rows) / total,
        )

    @cached_property
    def ranking(self) -> tuple[tuple[int, float], ...]:
        """Candidates with their probabilities, most likely first."""
        rows = [
            (place, group.likelihood * node.weight)
            for group in self.groups
            for place, node in enumerate(self.graph.nodes)
            if group.mask >> place & 1
        ]
        return tuple(sorted(rows, key=lambda row: (-row[1], row[0])))


def same_rate(one: Tally, other: Tally) -> float:
    """By which factor the boots of two kernels speak for both being bad rather than `other` being good."""
    apart = log_marginal(BAD, one) + log_marginal(GOOD, other)
    return math.exp(min(log_marginal(BAD, one + other) - apart, 700.0))
