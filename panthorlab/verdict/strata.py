# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests over strata: boards that may differ in everything but the kernel, so sides are compared within each.

A stratum that one side never ran on says nothing, as it should. With one stratum these are `fisher` and Mann
and Whitney's test of ranks.
Sources: Mehta, Patel and Gray 1985 (exact conditional test of several 2×2 tables); van Elteren 1960.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from panthorlab.verdict.stats import fisher, rank_excess

Table = tuple[int, int, int, int]
"""(before faulty, before, after faulty, after)."""


def stratified_fisher(tables: Sequence[Table]) -> tuple[float, float]:
    """One-sided exact p: (*after* has fewer, *after* has more), given the margins of every table.

    Under the hypothesis that within each stratum the sides do not differ, the faulty ones of *after* are distributed
    hypergeometrically in each; their sum is compared with its exact distribution. (1, 1) without observations.
    """
    for before_faulty, before, after_faulty, after in tables:
        fisher(before_faulty, before, after_faulty, after)  # ValueError for what are no counts
    telling = [table for table in tables if _degrees(table)]
    if len(telling) == 1:
        return fisher(*telling[0])
    if not telling:
        return 1.0, 1.0
    low, weights = 0, [1.0]
    *others, last = sorted(telling, key=_degrees)
    for table in others:
        first, part = _hypergeometric(table)
        low, weights = low + first, _convolve(weights, part)
    first, part = _hypergeometric(last)
    observed = sum(table[2] for table in telling) - low - first
    # P(X + Y <= t) needs no convolution with the largest: the tails of Y do
    return _tail(weights, part, observed), _tail(weights[::-1], part[::-1], len(weights) + len(part) - 2 - observed)


def stratified_rank_sum(strata: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[float, float]:
    """One-sided p of van Elteren's test for *after* being lower, and for it being higher: rank sums within strata,
    weighted by 1/(n + m + 1). Normal approximation with corrections for ties and continuity,
    which errs on the safe side for few values; (1, 1) if no stratum says anything."""
    excess = variance = step = 0.0
    for before, after in strata:
        own_excess, own_variance = rank_excess(before, after)
        if own_variance > 0:
            weight = 1 / (len(before) + len(after) + 1)
            excess += weight * own_excess
            variance += weight * weight * own_variance
            step = max(step, weight / 2)
    if variance <= 0:
        return 1.0, 1.0
    fewer, more = (0.5 * math.erfc((side - step) / math.sqrt(2 * variance)) for side in (excess, -excess))
    return min(1.0, fewer), min(1.0, more)


def _degrees(table: Table) -> int:
    """How many more than one outcomes the margins allow."""
    before_faulty, before, after_faulty, after = table
    faulty = before_faulty + after_faulty
    return min(faulty, after) - max(0, faulty - before)


def _hypergeometric(table: Table) -> tuple[int, list[float]]:
    """The lowest possible count of faulty ones on *after*, and the probabilities from there up."""
    before_faulty, before, after_faulty, after = table
    faulty = before_faulty + after_faulty
    low, high = max(0, faulty - before), min(faulty, after)
    mode = min(high, max(low, (faulty + 1) * (after + 1) // (before + after + 2)))
    weights = [0.0] * (high - low + 1)
    weights[mode - low] = 1.0
    for k in range(mode, high):
        weights[k + 1 - low] = weights[k - low] * (faulty - k) * (after - k) / ((k + 1) * (before - faulty + k + 1))
    for k in range(mode, low, -1):
        weights[k - 1 - low] = weights[k - low] * k * (before - faulty + k) / ((faulty - k + 1) * (after - k + 1))
    total = math.fsum(weights)
    return low, [weight / total for weight in weights]


def _convolve(a: Sequence[float], b: Sequence[float]) -> list[float]:
    result = [0.0] * (len(a) + len(b) - 1)
    nonzero = [(j, q) for j, q in enumerate(b) if q]
    for i, p in enumerate(a):
        if p:
            for j, q in nonzero:
                result[i + j] += p * q
    return result


def _tail(a: Sequence[float], b: Sequence[float], at_most: int) -> float:
    """P(X + Y <= at_most) for independent X, Y with these probabilities from 0 up."""
    sums = [0.0]
    for q in b:
        sums.append(sums[-1] + q)
    total = math.fsum(p * sums[max(0, min(len(b), at_most - i + 1))] for i, p in enumerate(a))
    return min(1.0, total)
