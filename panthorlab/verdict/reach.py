# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of *before* it takes to say whether it has what *after* showed a few times."""

from __future__ import annotations

import math

from panthorlab.verdict.stats import first_true, fisher

SHOWN = 0.95
"""*before* gets so many iterations that at *after*'s rate it would have shown the finding with this probability …"""

MAX_SHARE = 4
"""… or so many that none of them showing it decides, if that is at most this many times what *after* had. The first is
never more than three times that, so this bounds the time that *before* can take in all."""

MAX_BOOTS = 10
"""No side gets more boots than this for the sake of a finding outside iterations."""


def shown_after(faulty: int, total: int) -> int:
    """After how many units something of this rate has shown itself with a probability of `SHOWN`."""
    if faulty >= total:
        return 1
    return math.ceil(math.log(1 - SHOWN) / math.log1p(-faulty / total) - 1e-9)


def iterations_wanted(seen: tuple[int, int], first: tuple[int, int], level: float) -> int:
    """Iterations of *before* for a workload in which *after* showed something. `seen`: (how often, iterations);
    `first`: (boots that showed it, iterations up to the first time in each); `level`: p that would decide."""
    limit = MAX_SHARE * seen[1]
    decides = min(
        first_true(lambda n, hits=hits, total=total: fisher(0, n, hits, total)[1] < level, limit + 1)  # type: ignore[misc]
        for hits, total in (seen, *((first,) if first[0] > 1 else ()))
    )
    shown = shown_after(*seen)
    return max(shown, decides) if decides <= limit else shown


def boots_wanted(shown: int, boots: int, level: float) -> int:
    """Boots of *before*, when `shown` of `boots` of *after* had something outside iterations."""
    decides = first_true(lambda n: none_on_before(shown, boots, n) < level, MAX_BOOTS + 1)
    enough = shown_after(shown, boots)
    return min(MAX_BOOTS, max(enough, decides) if decides <= MAX_BOOTS else enough)


def none_on_before(shown: int, boots: int, before: int) -> float:
    """The greatest probability, whatever the common rate, that at least `shown` of *after*'s `boots` have something
    and none of *before*'s do. Boots are few: with both margins given, as in Fisher's test, no number of them would
    decide anything."""

    def chance(rate: float) -> float:
        tail = math.fsum(math.comb(boots, k) * rate**k * (1 - rate) ** (boots - k) for k in range(shown, boots + 1))
        return tail * (1 - rate) ** before

    if not shown:
        return 1.0
    return min(1.0, max(chance(step / 400) for step in range(1, 401)))
