# SPDX-License-Identifier: GPL-2.0-or-later
"""Stratified tests against scipy (one stratum) and against counting every table (several)."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats  # type: ignore[import-untyped]

from panthorlab.verdict.stats import fisher
from panthorlab.verdict.strata import Table, stratified_fisher, stratified_rank_sum


@st.composite
def tables(draw: st.DrawFn, most: int = 12) -> Table:
    before, after = draw(st.integers(0, most)), draw(st.integers(0, most))
    return draw(st.integers(0, before)), before, draw(st.integers(0, after)), after


def by_counting(strata: Sequence[Table]) -> tuple[float, float]:
    """The same by enumeration of every combination of tables with these margins, in whole numbers."""
    choices = []
    for before_faulty, before, after_faulty, after in strata:
        faulty = before_faulty + after_faulty
        choices.append(
            [
                (k, math.comb(after, k) * math.comb(before, faulty - k))
                for k in range(max(0, faulty - before), min(faulty, after) + 1)
            ]
        )
    observed = sum(table[2] for table in strata)
    fewer = more = whole = 0
    for combination in itertools.product(*choices):
        ways = math.prod(ways for _, ways in combination)
        total = sum(k for k, _ in combination)
        whole += ways
        fewer += ways * (total <= observed)
        more += ways * (total >= observed)
    return fewer / whole, more / whole


@given(st.lists(tables(), max_size=4))
def test_is_the_count_of_all_tables(strata: list[Table]) -> None:
    assert stratified_fisher(strata) == pytest.approx(by_counting(strata), rel=1e-9)


@given(tables(200))
def test_one_stratum_is_fishers_test(table: Table) -> None:
    before_faulty, before, after_faulty, after = table
    cells = [[after_faulty, after - after_faulty], [before_faulty, before - before_faulty]]
    expected = [scipy_stats.fisher_exact(cells, alternative=side).pvalue for side in ("less", "greater")]
    assert stratified_fisher([table]) == pytest.approx(expected, rel=1e-7)


@given(st.lists(tables(), max_size=3), tables())
def test_order_does_not_matter_nor_does_a_board_that_only_one_side_ran_on(strata: list[Table], more: Table) -> None:
    expected = stratified_fisher([*strata, more])
    assert stratified_fisher([more, *strata]) == pytest.approx(expected, rel=1e-9)
    assert stratified_fisher([*strata, (0, 0, 5, 9), more, (7, 7, 3, 3)]) == pytest.approx(expected, rel=1e-9)


def test_large_counts_against_scipy() -> None:
    """Two strata of thousands: P(X + Y <= t) from scipy's hypergeometric distribution."""
    strata = [(300, 4000, 230, 4000), (700, 5000, 640, 5000)]
    x, y = (scipy_stats.hypergeom(before + after, b + a, after) for b, before, a, after in strata)
    observed = sum(table[2] for table in strata)
    expected = math.fsum(x.pmf(k) * y.cdf(observed - k) for k in range(531))
    assert stratified_fisher(strata)[0] == pytest.approx(expected, rel=1e-6)


def test_small_p_keeps_its_size() -> None:
    one = fisher(100, 100, 0, 100)[0]
    assert stratified_fisher([(100, 100, 0, 100)] * 2)[0] == pytest.approx(one * one, rel=1e-6)


def test_boards_that_differ_do_not_fake_an_effect() -> None:
    """Pooled, after looks better only because more of it ran on the good board (Simpson's paradox)."""
    good, bad = (1, 10, 20, 200), (180, 200, 9, 10)
    assert fisher(181, 210, 29, 210)[0] < 1e-40
    assert stratified_fisher([good, bad])[0] > 0.3


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(ValueError, match="not counts"):
        stratified_fisher([(1, 1, 1, 1), (2, 1, 0, 0)])


rounds = st.lists(st.integers(0, 8).map(lambda n: n / 8), max_size=12)


@given(rounds, rounds)
def test_one_stratum_is_scipys_mann_whitney(before: list[float], after: list[float]) -> None:
    fewer, more = stratified_rank_sum([(before, after)])
    if not before or not after or len({*before, *after}) == 1:
        assert (fewer, more) == (1.0, 1.0)
    else:
        options: dict[str, Any] = {"method": "asymptotic", "use_continuity": True}
        test = scipy_stats.mannwhitneyu
        assert fewer == pytest.approx(test(before, after, alternative="greater", **options).pvalue)
        assert more == pytest.approx(test(before, after, alternative="less", **options).pvalue)
    assert stratified_rank_sum([(before, after), ([], [0.5]), ([1.0], [1.0])]) == pytest.approx((fewer, more))


def test_ranks_are_compared_within_boards_only() -> None:
    # a board where everything is high and ran mostly before, another where all is low and ran mostly after
    rng = random.Random(1)  # noqa: S311 - not a secret
    high = [0.8 + rng.random() / 10 for _ in range(60)]
    low = [rng.random() / 10 for _ in range(60)]
    strata = [(high[:50], high[50:]), (low[:10], low[10:])]
    assert stratified_rank_sum([(high[:50] + low[:10], high[50:] + low[10:])])[0] < 1e-6
    assert stratified_rank_sum(strata)[0] > 0.01


def test_two_boards_with_the_same_effect_are_stronger_than_one() -> None:
    board = ([0.9, 0.8, 0.7, 0.9, 0.6, 0.8], [0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
    assert stratified_rank_sum([board, board])[0] < stratified_rank_sum([board])[0] < 0.01
