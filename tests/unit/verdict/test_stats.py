# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics against scipy, against brute force, and at their edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats  # type: ignore[import-untyped]

from panthorlab.verdict.stats import (
    binomial_at_most,
    clean_needed,
    disagreement,
    first_true,
    fisher,
    gamma_q,
    holm,
    missable_rate,
    wilson,
)

counts = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
some = counts.filter(lambda c: c[1] > 0)


@given(before=some, after=counts)
def test_fisher_is_scipys(before: tuple[int, int], after: tuple[int, int]) -> None:
    fewer, more = fisher(*before, *after)
    faulty, total = before[0] + after[0], before[1] + after[1]
    oracle = scipy_stats.hypergeom(total, faulty, after[1])
    assert fewer == pytest.approx(float(oracle.cdf(after[0])), rel=1e-9, abs=1e-290)
    assert more == pytest.approx(float(oracle.sf(after[0] - 1)), rel=1e-9, abs=1e-290)


@given(before=counts, after=counts)
def test_fisher_swapped_is_the_other_tail(before: tuple[int, int], after: tuple[int, int]) -> None:
    fewer, more = fisher(*before, *after)
    assert fisher(*after, *before) == pytest.approx((more, fewer), rel=1e-9)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((500_000, 1_000_000), (499_000, 1_000_000)),
        ((10, 1_000_000), (2, 1_000_000)),
        ((999_999, 1_000_000), (999_000, 1_000_000)),
        ((3, 10), (0, 1_000_000)),
    ],
)
def test_fisher_of_big_counts(before: tuple[int, int], after: tuple[int, int]) -> None:
    oracle = scipy_stats.hypergeom.cdf(after[0], before[1] + after[1], before[0] + after[0], after[1])
    assert fisher(*before, *after)[0] == pytest.approx(float(oracle), rel=1e-6)


def test_fisher_by_hand() -> None:
    # 3/3 before, 0/3 after: one table of C(6, 3) = 20
    assert fisher(3, 3, 0, 3) == pytest.approx((1 / 20, 1.0))
    # 2/2 before, 1/2 after: P(X <= 1) with K = 3 of N = 4, n = 2 is C(3,1)C(1,1)/C(4,2) = 1/2
    assert fisher(2, 2, 1, 2) == pytest.approx((1 / 2, 1.0))
    # far below the smallest double: still no error
    assert fisher(10**6, 10**6, 0, 10**6) == (0.0, 1.0)


def test_fisher_refuses_what_are_no_counts() -> None:
    with pytest.raises(ValueError, match="not counts: 3/2, 0/1"):
        fisher(3, 2, 0, 1)


@given(count=some)
def test_wilson_is_scipys(count: tuple[int, int]) -> None:
    oracle = scipy_stats.binomtest(*count).proportion_ci(method="wilson")
    assert wilson(*count) == pytest.approx((float(oracle.low), float(oracle.high)), abs=1e-12)


def test_wilson_without_observations_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(count=some)
def test_missable_rate_is_clopper_pearsons_upper_bound(count: tuple[int, int]) -> None:
    faulty, total = count
    oracle = 1.0 if faulty == total else float(scipy_stats.beta.ppf(0.99, faulty + 1, total - faulty))
    assert missable_rate(faulty, total) == pytest.approx(oracle, abs=1e-9)


@given(count=some, rate=st.floats(0, 1))
def test_binomial_tail_is_scipys(count: tuple[int, int], rate: float) -> None:
    oracle = float(scipy_stats.binom.cdf(*count, rate))
    assert binomial_at_most(*count, rate) == pytest.approx(oracle, rel=1e-7, abs=1e-250)


def test_two_percent_needs_228_clean_iterations() -> None:
    assert missable_rate(0, 227) > 0.02 > missable_rate(0, 228)
    assert clean_needed(0.02) == 228
    assert missable_rate(0, 200) == pytest.approx(1 - 0.01 ** (1 / 200))
    assert missable_rate(0, 0) == 1.0


@given(rate=st.floats(1e-6, 0.999))
def test_clean_needed_is_the_first_that_suffices(rate: float) -> None:
    needed = clean_needed(rate)
    assert missable_rate(0, needed) <= rate * (1 + 1e-6)
    assert needed == 1 or missable_rate(0, needed - 1) >= rate * (1 - 1e-6)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


@given(ps=st.lists(st.floats(0, 1), min_size=1, max_size=8), index=st.integers(0, 7), bump=st.floats(0, 1))
def test_holm_never_falls_when_a_p_rises(ps: list[float], index: int, bump: float) -> None:
    index %= len(ps)
    raised = [max(p, bump) if i == index else p for i, p in enumerate(ps)]
    assert all(new >= old for new, old in zip(holm(raised), holm(ps), strict=True))


@given(a=st.floats(0.5, 200), x=st.floats(0, 1000))
def test_gamma_q_is_scipys(a: float, x: float) -> None:
    assert gamma_q(a, x) == pytest.approx(float(scipy_stats.gamma.sf(x, a)), rel=1e-8, abs=1e-14)


def _brute_force(boots: Sequence[tuple[int, int]]) -> float:
    """Freeman-Halton by all tables, in exact integers."""
    sizes, faulty = [size for _, size in boots], sum(k for k, _ in boots)

    def weight(table: Sequence[int]) -> int:
        return math.prod(math.comb(size, k) for size, k in zip(sizes, table, strict=True))

    tables = [t for t in itertools.product(*(range(size + 1) for size in sizes)) if sum(t) == faulty]
    observed = weight([k for k, _ in boots])
    return sum(w for w in map(weight, tables) if w <= observed) / math.comb(sum(sizes), faulty)


@given(
    boots=st.lists(
        st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=4
    )
)
def test_disagreement_of_few_is_exact(boots: list[tuple[int, int]]) -> None:
    assert disagreement(boots) == pytest.approx(_brute_force(boots), rel=1e-6)


@given(first=some, second=some)
def test_disagreement_of_two_is_two_sided_fisher(first: tuple[int, int], second: tuple[int, int]) -> None:
    table = [[k, n - k] for k, n in (first, second)]
    assert disagreement([first, second]) == pytest.approx(float(scipy_stats.fisher_exact(table).pvalue), rel=1e-5)


def test_disagreement_of_many_is_chi_square() -> None:
    boots = [(4000, 10_000), (4100, 10_000), (4300, 10_000)]
    table = [[k, n - k] for k, n in boots]
    oracle = scipy_stats.chi2_contingency(table, correction=False).pvalue
    assert disagreement(boots) == pytest.approx(float(oracle), rel=1e-9)


@pytest.mark.parametrize("boots", [[], [(5, 10)], [(0, 10), (0, 20)], [(10, 10), (20, 20)], [(3, 10), (0, 0)]])
def test_nothing_to_disagree_about(boots: list[tuple[int, int]]) -> None:
    assert disagreement(boots) == 1.0


def test_the_boots_of_a_crowded_host_disagree() -> None:
    assert disagreement([(199, 200), (106, 200)]) < 0.001  # seen when two guests shared a CPU
    assert disagreement([(199, 200), (198, 200)]) > 0.5


@given(threshold=st.integers(1, 10**6))
def test_first_true_finds_the_threshold(threshold: int) -> None:
    assert first_true(lambda n: n >= threshold) == threshold
    assert first_true(lambda n: n >= threshold, limit=10) == min(threshold, 10)
