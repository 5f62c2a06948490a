# SPDX-License-Identifier: GPL-2.0-or-later
"""What to boot next: the commit and the number of boots that tell most about the culprit for the time they take.

What is built already costs boots alone, so boots are batched on a built commit until a new one tells more per second.
If the fault looks solid, this is plain bisection: the commit that halves the candidates, booted once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Final

from panthorlab.bisect.graph import members
from panthorlab.bisect.posterior import Chances, Posterior

CONFIDENCE: Final = 0.97
BATCH: Final = 6
"""Boots at a time at most: every result may change what is best next."""
NEGLIGIBLE: Final = 1e-9
SHARES: Final = (0.5, 0.4, 0.3, 0.6)
"""Of the probability, that a new commit is to have before it."""


@dataclass(frozen=True)
class Cost:
    """Seconds (or any unit) of a build, and of a boot. To build an increment takes about as long as to boot."""

    build: float = 25.0
    boot: float = 20.0


@dataclass(frozen=True)
class Test:
    """Boot the commit at this place so often."""

    place: int
    boots: int = 1


@dataclass(frozen=True)
class Search:
    """`built`, `skipped`: sets of commits whose kernel is there, and that cannot be tested. `proven`: how many boots
    have shown the fault on one commit or another, which can be had again on each; `tried`: by place, how many of them
    were."""

    posterior: Posterior
    built: int = 0
    skipped: int = 0
    cost: Cost = Cost()
    confidence: float = CONFIDENCE
    proven: int = 0
    tried: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def best(self) -> int:
        """The most likely culprit; with others, if no test can tell them apart."""
        posterior, graph = self.posterior, self.posterior.graph
        heaviest = ((group, graph.heaviest(group.mask)) for group in posterior.groups)
        single = max(heaviest, key=lambda row: (row[0].likelihood * graph.nodes[row[1]].weight, -row[1]))[1]
        return max([*graph.cells(self.skipped), 1 << single], key=lambda cell: (posterior.of(cell), cell.bit_count()))

    @property
    def plain(self) -> bool:
        """Whether the fault looks solid."""
        return self.posterior.solid >= 0.5

    @property
    def located(self) -> bool:
        """Whether a single cell is left of a solid fault, or likely enough of a flaky one."""
        return self.certain or (self.plain and not self.posterior.consistent & ~self.best)

    @cached_property
    def certain(self) -> bool:
        """Whether no more boots are needed: even if a fault that looks solid is not."""
        return min(self.posterior.of(self.best), self.posterior.if_flaky(self.best)) >= self.confidence

    def next(self) -> Test | None:
        """None if that is certain which can be, or no test tells anything."""
        if self.certain:
            return None
        if self.plain and not self.located and (halving := self._halving()) is not None:
            return Test(halving)
        rated = [(self._rate(test), -test.boots, test.place, test) for test in self._tests()]
        rate, _, _, test = max(rated, default=(0.0, 0, 0, None), key=lambda row: row[:3])
        return test if rate > NEGLIGIBLE else None

    def _halving(self) -> int | None:
        """The commit that splits the candidates of a solid fault best."""
        graph, left = self.posterior.graph, self.posterior.consistent
        half = graph.weight(left) / 2
        splits = [
            (abs(graph.weight(lineage & left) - half), place)
            for place, lineage in enumerate(graph.lineage)
            if not self.skipped >> place & 1 and (lineage & left) not in (0, left)
        ]
        return min(splits)[1] if splits else None

    def _tests(self) -> Iterator[Test]:
        """Those that can be the best one: of all commits that are built, and of new ones at the best places."""
        for place in members(self.built & ~self.skipped):
            for boots in range(1, BATCH + 1):
                yield Test(place, boots)
        graph, live = self.posterior.graph, self._live
        shares: dict[int, tuple[float, int]] = {}
        for place, lineage in enumerate(graph.lineage):
            part = lineage & live
            if part and part not in shares and not (self.built | self.skipped) >> place & 1:
                shares[part] = self.posterior.of(part), place
        for share in SHARES:
            nearest = min(shares.values(), key=lambda row: (abs(row[0] - share), row[1]), default=None)
            if nearest is not None:
                for boots in range(1, BATCH + 1):
                    yield Test(nearest[1], boots)

    @property
    def _live(self) -> int:
        mask = 0
        for group in self.posterior.groups:
            if group.likelihood * self.posterior.graph.weight(group.mask) > NEGLIGIBLE:
                mask |= group.mask
        return mask

    def _rate(self, test: Test) -> float:
        """Bits about the culprit per unit of cost."""
        new = not self.built >> test.place & 1
        cost = (self.cost.build if new else 0.0) + test.boots * self.cost.boot
        again = min(test.boots, max(0, self.proven - self.tried.get(test.place, 0)))
        return information(self.posterior.bad(test.place), self.posterior.rates, again, test.boots - again) / cost


def information(share: float, rates: Chances, again: int, fresh: int) -> float:
    """What boots of a commit tell about whether it is bad, in bits, if it is so with probability `share`. `again`,
    `fresh`: how many of each."""
    bits = 0.0
    for old, new in product(range(again + 1), range(fresh + 1)):
        if_bad = _chance(again, old, rates.r) * _chance(fresh, new, rates.p)
        if_good = _chance(again, old, rates.q) * _chance(fresh, new, rates.q)
        either = share * if_bad + (1 - share) * if_good
        for own, likelihood in ((share, if_bad), (1 - share, if_good)):
            if own > 0 and likelihood > 0:
                bits += own * likelihood * math.log2(likelihood / either)
    return bits


def _chance(boots: int, seen: int, rate: float) -> float:
    """Of so many faults in so many boots."""
    return math.comb(boots, seen) * rate**seen * (1 - rate) ** (boots - seen)
