# SPDX-License-Identifier: GPL-2.0-or-later
"""Which commit is found, after how many boots: simulated, against figures and the definition of a culprit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.bisect.ends import BothEnds, End, EndTrouble
from panthorlab.bisect.graph import Graph, Node, members
from panthorlab.bisect.policy import Search, information
from panthorlab.bisect.posterior import Chances, Posterior, Tally
from tests.unit.bisect.simulation import chain, simulate

TRIALS = min(40, settings().max_examples // 4)


def random_graph(commits: int, seed: int) -> Graph:
    """A history with merges: each commit has one or two earlier ones as parents, or leaves from the good end."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    nodes = [Node("0")]
    for number in range(1, commits):
        parents = {str(chance.randrange(max(0, number - 4), number)) for _ in range(chance.choice((1, 1, 2)))}
        nodes.append(Node(str(number), tuple(sorted(parents)), weight=chance.choice((1.0, 3.0))))
    heads = {node.id for node in nodes} - {parent for node in nodes for parent in node.parents}
    return Graph.of([*nodes, Node("tip", tuple(sorted(heads)))])


def test_a_solid_fault_among_512_commits_takes_9_boots() -> None:
    for seed in range(4):
        made = simulate(chain(512), 1.0, 0.0, seed)
        assert (made.right, made.located) == (True, 9)


def test_a_flaky_fault_with_false_alarms_among_512_commits() -> None:
    trials = [simulate(chain(512), 0.5, 0.02, seed) for seed in range(TRIALS)]
    assert sum(trial.right for trial in trials) >= 0.97 * len(trials)
    boots, builds = (71, 13) if TRIALS >= 40 else (90, 15)  # few are further from their mean
    assert sum(trial.boots for trial in trials) <= boots * len(trials), "boots on average, with those of the ends"
    assert sum(trial.builds for trial in trials) <= builds * len(trials), "builds on average, with those of the ends"


def test_a_fault_in_three_of_ten_boots_among_64_commits() -> None:
    assert sum(simulate(chain(64), 0.3, 0.0, seed).right for seed in range(20)) >= 19


@pytest.mark.parametrize("seed", range(10))
def test_histories_with_merges(seed: int) -> None:
    graph = random_graph(60, seed)
    made = simulate(graph, 1.0, 0.0, seed)
    assert made.right
    assert made.located <= 14, "weights, and branches that no commit halves: more than the logarithm"


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_a_solid_fault_is_found_whatever_the_history_is(commits: int, seed: int) -> None:
    graph = random_graph(commits, seed)
    chance = random.Random(seed)  # noqa: S311 - no secret
    culprit = chance.randrange(len(graph.nodes))
    skipped = sum(1 << place for place in range(len(graph.nodes) - 1) if chance.random() < 0.2)
    made = simulate(graph, 1.0, 0.0, seed, skipped=skipped, culprit=culprit)
    assert made.found >> culprit & 1
    cell = next((cell for cell in graph.cells(skipped) if cell >> culprit & 1), 1 << culprit)
    assert made.found == cell, "what cannot be told apart is found as a whole, and nothing else with it"


def test_what_lies_among_skipped_commits_is_told_as_a_set() -> None:
    made = simulate(chain(16), 1.0, 0.0, 1, skipped=0b11 << 7, culprit=8)
    assert list(members(made.found)) == [7, 8, 9]


def test_probabilities_are_those_of_bayes() -> None:
    """By the definition, without groups: two commits, of which the first was booted four times."""
    posterior = Posterior(chain(2), {0: Tally(1, 3), 1: Tally(2, 2)}, Tally(0, 4))

    def beta(a: float, b: float, seen: int, clean: int) -> float:
        made, rate_a, rate_b = 1.0, a, b
        for _ in range(seen):
            made, rate_a = made * rate_a / (rate_a + rate_b), rate_a + 1
        for _ in range(clean):
            made, rate_b = made * rate_b / (rate_a + rate_b), rate_b + 1
        return made

    first = beta(1, 1, 3, 5) * beta(0.5, 24.5, 0, 4)
    second = beta(1, 1, 2, 2) * beta(0.5, 24.5, 1, 7)
    assert posterior.of(0b01) == pytest.approx(first / (first + second))
    assert posterior.of(0b11) == pytest.approx(1)
    assert posterior.solid == 0


@given(st.integers(2, 30), st.lists(st.tuples(st.integers(0, 29), st.booleans()), max_size=20))
def test_probabilities_sum_up_and_every_test_tells_something(commits: int, boots: list[tuple[int, bool]]) -> None:
    posterior = Posterior(chain(commits), {commits - 1: Tally(1, 0)}, Tally(0, 1))
    for place, seen in boots:
        posterior = posterior.after(place % commits, Tally(1, 0) if seen else Tally(0, 1))
    assert sum(share for _, share in posterior.ranking) == pytest.approx(1)
    search = Search(posterior)
    test = search.next()
    assert search.certain == (test is None)


def test_nothing_is_told_by_what_is_known() -> None:
    flaky = Chances(p=0.5, r=0.9, q=0.02)
    assert information(0.0, flaky, 1, 3) == information(1.0, flaky, 1, 3) == 0
    assert information(0.5, Chances(p=1.0, r=0.5, q=0.0), 0, 1) == pytest.approx(1)
    assert information(0.5, Chances(p=0.3, r=0.3, q=0.3), 2, 2) == pytest.approx(0)
    assert information(0.5, flaky, 1, 0) > information(0.5, flaky, 0, 1)
    alike = Chances(p=0.5, r=0.5, q=0.02)
    assert information(0.5, alike, 2, 2) == pytest.approx(information(0.5, alike, 0, 4))


def run_ends(bad: str, good: str) -> BothEnds:
    """Boots of the ends from rows of results, each repeated; X is a fault."""
    ends, left = BothEnds(), {End.BAD: iter(bad * 50), End.GOOD: iter(good * 50)}
    while ends.trouble is None and (end := ends.next()) is not None:
        one = Tally(1, 0) if next(left[end]) == "X" else Tally(0, 1)
        ends = BothEnds(ends.bad + one, ends.good) if end is End.BAD else BothEnds(ends.bad, ends.good + one)
    return ends


def test_ends_that_are_not_what_they_are_called() -> None:
    good_is_bad = run_ends("X", "X")
    assert (good_is_bad.trouble, good_is_bad.good.boots) == (EndTrouble.GOOD_IS_BAD, 1), "said at once"
    assert run_ends(".", ".").trouble is EndTrouble.NOT_SEEN
    assert run_ends("...X", "X...").trouble in (EndTrouble.GOOD_IS_BAD, EndTrouble.UNCLEAR)
    assert run_ends("X", ".").trouble is None
    assert run_ends("..X", ".").trouble is None
    assert run_ends("X", "X.......................").trouble is not EndTrouble.NOT_SEEN


def test_a_history_must_be_one() -> None:
    with pytest.raises(ValueError, match="after its child"):
        Graph.of([Node("b", ("a",)), Node("a")])
    with pytest.raises(ValueError, match="twice"):
        Graph.of([Node("a"), Node("a")])
    with pytest.raises(ValueError, match="without"):
        Graph.of([])
