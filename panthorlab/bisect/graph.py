# SPDX-License-Identifier: GPL-2.0-or-later
"""Commits between a good and a bad one, with merges: who is whose ancestor, as bit masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Node:
    """A commit that may be the culprit. `parents`: those that are not nodes are good. `weight`: how likely it is
    before anything is tested, relative to others."""

    id: str
    parents: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Graph:
    """The candidates, parents before children; the last one is the bad end. A set of them is an int, bit by place."""

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Graph:
        """Raises ValueError if `nodes` is empty, names one twice, or has a parent after its child."""
        graph = cls(tuple(nodes))
        if not graph.nodes:
            raise ValueError("a graph without commits")
        for place, node in enumerate(graph.nodes):
            if graph.place[node.id] != place:
                raise ValueError(f"{node.id} is there twice")
            if late := next((parent for parent in node.parents if graph.place.get(parent, -1) >= place), None):
                raise ValueError(f"{late} comes after its child {node.id}")
        return graph

    @cached_property
    def place(self) -> dict[str, int]:
        """Of each commit, its place in `nodes`."""
        return {node.id: place for place, node in enumerate(self.nodes)}

    @cached_property
    def lineage(self) -> tuple[int, ...]:
        """Of each commit, itself and its ancestors. A commit is bad if the culprit is one of them."""
        masks: list[int] = []
        for place, node in enumerate(self.nodes):
            mask = 1 << place
            for parent in node.parents:
                if parent in self.place:
                    mask |= masks[self.place[parent]]
            masks.append(mask)
        return tuple(masks)

    @cached_property
    def everyone(self) -> int:
        """All candidates: ancestors of the bad end, and itself."""
        return self.lineage[-1]

    @cached_property
    def _weights(self) -> dict[float, int]:
        masks: dict[float, int] = {}
        for place, node in enumerate(self.nodes):
            masks[node.weight] = masks.get(node.weight, 0) | 1 << place
        return masks

    def heaviest(self, mask: int) -> int:
        """The place of the commit with the largest weight in a set, of several the oldest."""
        own = next(own & mask for _, own in sorted(self._weights.items(), reverse=True) if own & mask)
        return (own & -own).bit_length() - 1

    def weight(self, mask: int) -> float:
        """Of all commits in a set."""
        return sum(weight * (mask & own).bit_count() for weight, own in self._weights.items())

    def cells(self, skipped: int) -> list[int]:
        """Sets of commits that no test can tell apart, because those between them are `skipped`: all that have more
        than one commit. Any other commit is a cell of its own."""
        if not skipped:
            return []
        tests = [0] * len(self.nodes)  # which testable commits contain this one
        by_tests: dict[int, int] = {}
        for place in reversed(range(len(self.nodes))):
            if not skipped >> place & 1:
                tests[place] |= 1 << place
            for parent in self.nodes[place].parents:
                if parent in self.place:
                    tests[self.place[parent]] |= tests[place]
        for place in members(self.everyone):
            by_tests[tests[place]] = by_tests.get(tests[place], 0) | 1 << place
        return [cell for cell in by_tests.values() if cell.bit_count() > 1]


def members(mask: int) -> Iterator[int]:
    """The places in a set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
