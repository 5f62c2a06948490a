# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics of a before/after comparison of counts, from the standard library alone.

Every function takes counts and is exact unless it says otherwise. Sources: Wilson 1927; Clopper and Pearson 1934;
Fisher's exact test; Mann and Whitney 1947; Holm 1979; Freeman and Halton 1951.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

ALPHA = 0.001
"""p below which a difference is one."""

MISS_CHANCE = 0.01
"""`missable_rate` is the rate that a run would still have missed with this probability."""

MAX_TABLES = 50_000
"""Freeman-Halton enumerates up to this many tables; beyond it counts are large enough for chi-square."""


def wilson(faulty: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a rate (95 % by default); (0, 1) for no observations."""
    if total <= 0:
        return 0.0, 1.0
    rate, z2 = faulty / total, z * z
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    low = 0.0 if faulty == 0 else max(0.0, centre - half)
    high = 1.0 if faulty == total else min(1.0, centre + half)
    return low, high


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sum_outwards(start: float, ratios: Iterator[float]) -> float:
    """exp(start) · (1 + r₁ + r₁r₂ + …): a tail of a unimodal distribution, cut where terms no longer change the sum."""
    term = total = 1.0
    for ratio in ratios:
        term *= ratio
        total += term
        if ratio < 1 and term < total * 1e-18:
            break
        if total > 1e200:  # climbing towards a far-away mode: keep the scale
            start += math.log(total)
            term, total = term / total, 1.0
    return math.exp(min(0.0, start + math.log(total)))


def fisher(before_faulty: int, before: int, after_faulty: int, after: int) -> tuple[float, float]:
    """One-sided Fisher exact p: (*after* has fewer, *after* has more)."""
    faulty, total = before_faulty + after_faulty, before + after
    if not (0 <= before_faulty <= before and 0 <= after_faulty <= after):
        raise ValueError(f"not counts: {before_faulty}/{before}, {after_faulty}/{after}")
    low, high = max(0, faulty - before), min(faulty, after)
    log_p = _log_comb(faulty, after_faulty) + _log_comb(total - faulty, after - after_faulty) - _log_comb(total, after)

    def down() -> Iterator[float]:  # P(k-1)/P(k) of the hypergeometric distribution
        for k in range(after_faulty, low, -1):
            yield k * (before - faulty + k) / ((faulty - k + 1) * (after - k + 1))

    def up() -> Iterator[float]:  # P(k+1)/P(k)
        for k in range(after_faulty, high):
            yield (faulty - k) * (after - k) / ((k + 1) * (before - faulty + k + 1))

    fewer = 1.0 if after_faulty == high else _sum_outwards(log_p, down())
    more = 1.0 if after_faulty == low else _sum_outwards(log_p, up())
    return fewer, more


def rank_excess(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """By how much Mann and Whitney's U, the pairs in which *before* is higher, exceeds what chance gives, and the
    variance of that, corrected for ties. The variance is 0 if a side is empty or all values are equal."""
    n, m = len(before), len(after)
    if not n or not m:
        return 0.0, 0.0
    sizes = Counter((*before, *after))
    variance = n * m / 12 * (n + m + 1 - sum(t**3 - t for t in sizes.values()) / ((n + m) * (n + m - 1)))
    above = sum((b > a) + (b == a) / 2 for b in before for a in after)
    return above - n * m / 2, max(0.0, variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given: compare each with alpha to bound the family's false claims."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def binomial_at_most(faulty: int, total: int, rate: float) -> float:
    """P(at most `faulty` of `total`) when each is faulty with `rate`."""
    if faulty >= total or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    odds = rate / (1 - rate)
    start = _log_comb(total, faulty) + faulty * math.log(rate) + (total - faulty) * math.log1p(-rate)
    return _sum_outwards(start, (k / ((total - k + 1) * odds) for k in range(faulty, 0, -1)))


def missable_rate(faulty: int, total: int, chance: float = MISS_CHANCE) -> float:
    """The highest rate that would still show at most `faulty` of `total` with probability `chance`.

    The Clopper-Pearson upper bound of one side; 1 - chance^(1/total) if none was faulty, 1 without observations.
    """
    if faulty >= total:
        return 1.0
    if faulty == 0:
        return -math.expm1(math.log(chance) / total)
    low, high = faulty / total, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_at_most(faulty, total, middle) > chance else (low, middle)
    return high


def clean_needed(rate: float, chance: float = MISS_CHANCE) -> int:
    """Clean iterations after which a rate of `rate` would have been missed with probability `chance` at most."""
    if rate >= 1:
        return 1
    return max(1, math.ceil(math.log(chance) / math.log1p(-rate) - 1e-9))


def first_true(predicate: Callable[[int], bool], limit: int = 10**9) -> int:
    """The smallest n ≥ 1 for which a predicate that stays true once true holds; `limit` if none below it does."""
    high = 1
    while high < limit and not predicate(high):
        high *= 2
    low = high // 2
    high = min(high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if predicate(middle) else (middle, high)
    return high


def gamma_q(a: float, x: float) -> float:
    """Regularised upper incomplete gamma function Q(a, x), relative error below 1e-12."""
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:  # series for P
        term = total = 1 / a
        n = a
        while term > total * 1e-17:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - scale * total)
    b, c = x + 1 - a, 1e300  # continued fraction for Q, modified Lentz
    d = h = 1 / b
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        h *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, scale * h)


def disagreement(counts: Sequence[tuple[int, int]]) -> float:
    """p of the hypothesis that boots with these (faulty, total) counts have one rate.

    Freeman-Halton's exact test (two-sided Fisher for two boots), or Pearson's chi-square where the counts are too many
    to enumerate and so large enough for it.
    """
    boots = [(faulty, total) for faulty, total in counts if total]
    faulty, total = sum(f for f, _ in boots), sum(t for _, t in boots)
    if len(boots) < 2 or faulty in (0, total):
        return 1.0
    rare = min(faulty, total - faulty)
    if math.comb(rare + len(boots) - 1, len(boots) - 1) <= MAX_TABLES:
        if rare != faulty:
            boots = [(t - f, t) for f, t in boots]
        return _freeman_halton(boots, rare, total)
    rate = faulty / total
    chi2 = sum((f - t * rate) ** 2 / (t * rate * (1 - rate)) for f, t in boots)
    return gamma_q((len(boots) - 1) / 2, chi2 / 2)


def _freeman_halton(boots: Sequence[tuple[int, int]], faulty: int, total: int) -> float:
    sizes = [size for _, size in boots]
    whole = _log_comb(total, faulty)
    observed = sum(_log_comb(size, k) for k, size in boots) - whole + 1e-7
    room = [sum(sizes[i:]) for i in range(len(sizes) + 1)]

    def tables(i: int, left: int, log_p: float) -> Iterator[float]:
        if i == len(sizes) - 1:
            yield log_p + _log_comb(sizes[i], left)
            return
        for k in range(max(0, left - room[i + 1]), min(sizes[i], left) + 1):
            yield from tables(i + 1, left - k, log_p + _log_comb(sizes[i], k))

    return min(1.0, math.fsum(math.exp(p) for p in tables(0, faulty, -whole) if p <= observed))
