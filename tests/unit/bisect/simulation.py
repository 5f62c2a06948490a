# SPDX-License-Identifier: GPL-2.0-or-later
"""A bisect whose boots are drawn by chance: what the runner does, without kernels."""

from __future__ import annotations

import random
from dataclasses import dataclass

from panthorlab.bisect.ends import End, Ends
from panthorlab.bisect.graph import Graph, Node
from panthorlab.bisect.policy import Search
from panthorlab.bisect.posterior import Posterior, Tally


def chain(length: int) -> Graph:
    """Commits one after the other."""
    return Graph.of(Node(str(number), (str(number - 1),) if number else ()) for number in range(length))


@dataclass(frozen=True)
class Simulated:
    """`boots`, `builds`: all, also of the ends. `located`: boots between the ends until one candidate was left."""

    found: int
    culprit: int
    boots: int
    builds: int
    located: int

    @property
    def right(self) -> bool:
        return self.found == 1 << self.culprit


def simulate(graph: Graph, p: float, q: float, seed: int, *, skipped: int = 0, culprit: int | None = None) -> Simulated:
    """Faults come with probability `p` where the culprit is, and `q` elsewhere."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    wanted = chance.randrange(len(graph.nodes)) if culprit is None else culprit

    def boot(lineage: int) -> Tally:
        return Tally(1, 0) if chance.random() < (p if lineage >> wanted & 1 else q) else Tally(0, 1)

    tip = len(graph.nodes) - 1
    ends = Ends()
    while (end := ends.next()) is not None:
        bad, good = ends.bad, ends.good
        ends = Ends(bad + boot(graph.everyone), good) if end is End.BAD else Ends(bad, good + boot(0))
    posterior = Posterior(graph, {tip: ends.bad}, ends.good)
    boots, builds, built = ends.bad.boots + ends.good.boots, 2, 1 << tip
    located: int | None = None
    while True:
        search = Search(posterior, built, skipped)
        if located is None and search.located:
            located = boots - ends.bad.boots - ends.good.boots
        test = search.next()
        if test is None or boots > 1000:
            return Simulated(search.best, wanted, boots, builds, located if located is not None else boots)
        assert not skipped >> test.place & 1
        builds += not built >> test.place & 1
        built |= 1 << test.place
        for _ in range(test.boots):
            posterior = posterior.after(test.place, boot(graph.lineage[test.place]))
            boots += 1
