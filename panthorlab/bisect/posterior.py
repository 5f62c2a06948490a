# SPDX-License-Identifier: GPL-2.0-or-later
"""How likely each commit is the culprit, after boots of some of them.

A boot of a commit with the culprit shows the fault with probability p, one without it with probability q (noise of the
lab, or the same symptom by another cause). Neither is known. Either the fault is *solid* (p = 1, q = 0: plain
bisection), or both are from Beta distributions: p from a flat one, q from one that expects little noise. All boots,
those of the two ends too, then say what they are. Boots are counted, not iterations: these depend on each other.

All commits in one group agree about which tested commits are bad, so they have the same likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from panthorlab.bisect.graph import Graph

SOLID: Final = 0.5
"""How likely a fault is solid before anything is known."""
BAD: Final = (1.0, 1.0)
GOOD: Final = (0.5, 24.5)
"""Beta distributions of p and q: anything; about 2 %."""


@dataclass(frozen=True)
class Tally:
    """Boots of one commit: with the fault, and without."""

    seen: int = 0
    clean: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.seen + other.seen, self.clean + other.clean)

    @property
    def boots(self) -> int:
        return self.seen + self.clean


@dataclass(frozen=True)
class Group:
    """Commits of equal likelihood. `bad`, `good`: all boots of commits that are bad or good if one of them is the
    culprit. `solid`, `flaky`: the likelihoods, not normalised."""

    mask: int
    bad: Tally
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
class Posterior:
    """What is known. `tallies`: by place in the graph, also of the bad end. `good`: of the good end."""

    graph: Graph
    tallies: Mapping[int, Tally]
    good: Tally = Tally()

    def after(self, place: int, tally: Tally) -> Posterior:
        """With more boots of a commit."""
        return Posterior(self.graph, {**self.tallies, place: self.tallies.get(place, Tally()) + tally}, self.good)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Those whose commits may be the culprit at all, normalised: likelihood × weight sums up to 1."""
        groups = [(self.graph.everyone, Tally(), self.good)]
        for place, tally in self.tallies.items():
            lineage = self.graph.lineage[place]
            groups = [
                (part, bad + tally if inside else bad, good if inside else good + tally)
                for mask, bad, good in groups
                for part, inside in ((mask & lineage, True), (mask & ~lineage, False))
                if part
            ]
        logs = [log_marginal(BAD, bad) + log_marginal(GOOD, good) for _, bad, good in groups]
        top = max([0.0 if self._is_solid(bad, good) else log for (_, bad, good), log in zip(groups, logs, strict=True)])
        made = [
            Group(
                mask,
                bad,
                good,
                SOLID * math.exp(-top) if self._is_solid(bad, good) else 0.0,
                (1 - SOLID) * math.exp(log - top),
            )
            for (mask, bad, good), log in zip(groups, logs, strict=True)
        ]
        total = sum(group.likelihood * self.graph.weight(group.mask) for group in made)
        return tuple(
            Group(group.mask, group.bad, group.good, group.solid / total, group.flaky / total) for group in made
        )

    @staticmethod
    def _is_solid(bad: Tally, good: Tally) -> bool:
        return not bad.clean and not good.seen

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
    def rates(self) -> tuple[float, float]:
        """p and q as they are expected if the fault is flaky."""
        p = q = total = 0.0
        for group in self.groups:
            own = group.flaky * self.graph.weight(group.mask)
            p, q, total = p + own * mean(BAD, group.bad), q + own * mean(GOOD, group.good), total + own
        return p / total, q / total

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
