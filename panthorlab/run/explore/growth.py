# SPDX-License-Identifier: GPL-2.0-or-later
"""How many different things were seen, and how many new ones are still to be expected. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final

SATURATED: Final = 0.05
"""An exploration is saturated when a further sample is expected to show fewer new things than this …"""
LEAST: Final = 40
"""… and so many samples say so: none new in 40 is 87 % sure that fewer than one in twenty would be."""


class Growth:
    """Samples, each with one or more things in it (the interleaving of an iteration; its contexts)."""

    def __init__(self) -> None:
        self._seen: Counter[Hashable] = Counter()
        self.curve: list[int] = []
        """Different things after each sample."""

    def add(self, things: Iterable[Hashable]) -> int:
        """A further sample. How many of its things are new."""
        before = len(self._seen)
        self._seen.update(set(things))
        self.curve.append(len(self._seen))
        return len(self._seen) - before

    @property
    def samples(self) -> int:
        return len(self.curve)

    @property
    def distinct(self) -> int:
        return len(self._seen)

    @property
    def unseen(self) -> float:
        """How many new things the next sample is expected to show: the things seen in one sample alone, by the number
        of samples (I. J. Good, "The Population Frequencies of Species and the Estimation of Population Parameters",
        Biometrika 40, 1953, with A. M. Turing). Where a sample is one thing, the probability that the next is new."""
        if not self.samples:
            return 1.0
        return sum(count == 1 for count in self._seen.values()) / self.samples

    @property
    def saturated(self) -> bool:
        return self.samples >= LEAST and self.unseen <= SATURATED

    @property
    def state(self) -> str:
        """In a word, for people."""
        if self.samples < LEAST:
            return f"not judged, for that wants {LEAST} seeds"
        return "saturated" if self.saturated else "growing"

    def points(self, most: int = 8) -> list[tuple[int, int]]:
        """The curve in few points, (samples, different things), the last one among them."""
        places = (
            sorted({max(1, round(self.samples * turn / most)) for turn in range(1, most + 1)}) if self.curve else []
        )
        return [(place, self.curve[place - 1]) for place in places]
