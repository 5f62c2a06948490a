# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ends are tested first: whether the bad one shows the fault and the good one does not, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from panthorlab.bisect.posterior import Tally, same_rate

SEEN: Final = 5
"""Faults of the bad end, from which its rate is known well enough to search with."""
SOLID: Final = 3
"""Or so many boots, if each shows it."""
CLEAN: Final = 3
"""Boots of the good end."""
LIMIT: Final = 24
"""Boots of either end; a fault in a fifth of all boots is missed once in 200 times."""
DECISIVE: Final = 20.0
"""Factor by which the boots of the good end speak for or against it."""


class End(StrEnum):
    BAD = "bad"
    GOOD = "good"


class Trouble(StrEnum):
    """Why there is nothing to search."""

    NOT_SEEN = "not-seen"
    GOOD_IS_BAD = "good-is-bad"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Ends:
    """Boots of both, and at most how many of each there may be."""

    bad: Tally = Tally()  # noqa: RUF009 - it is frozen
    good: Tally = Tally()  # noqa: RUF009 - it is frozen
    limit: int = LIMIT

    @property
    def trouble(self) -> Trouble | None:
        """As soon as it is known."""
        if not self.bad.seen:
            return Trouble.NOT_SEEN if self.bad.boots >= self.limit else None
        if self.good.seen:
            if same_rate(self.bad, self.good) >= DECISIVE:
                return Trouble.GOOD_IS_BAD
            if self.next() is None and same_rate(self.bad, self.good) > 1 / DECISIVE:
                return Trouble.UNCLEAR
        return None

    def next(self) -> End | None:
        """Which end is to be booted once more; None if both are known. First the fault must be seen, then the good end
        be clean once: what is wrong with an end is to be told soon."""
        if not self.bad.seen:
            return End.BAD if self.bad.boots < self.limit else None
        if not self.good.boots:
            return End.GOOD
        looks_solid = not self.bad.clean and self.bad.seen >= min(SOLID, self.limit)
        if self.bad.seen < SEEN and not looks_solid and self.bad.boots < self.limit:
            return End.BAD
        doubt = self.good.seen and same_rate(self.bad, self.good) > 1 / DECISIVE
        if self.good.boots < (self.limit if doubt else min(CLEAN, self.limit)):
            return End.GOOD
        return None
