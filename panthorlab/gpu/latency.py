# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the GPU takes for what it does in its own time, in exact time: drawn from the seed.

Each kind of event (an interrupt of a line, a service of the firmware, a slice of a stream) draws from numbers of its
own, by its name: one event more of one kind does not move those of the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Draw = Callable[[random.Random], float]


@dataclass(frozen=True)
class Strategy:
    """`draw`: seconds. `meaning`: for a person."""

    draw: Draw
    meaning: str


def uniform(least: float, most: float) -> Draw:
    return lambda chance: chance.uniform(least, most)


def log_uniform(least: float, most: float) -> Draw:
    """Each decade as likely as the next: short ones are tried out as well as long ones."""
    return lambda chance: least * math.exp(chance.random() * math.log(most / least))


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "uniform": Strategy(uniform(5e-6, 60e-6), "5 to 60 µs, each as likely"),
    "log-uniform": Strategy(log_uniform(2e-6, 2e-3), "2 µs to 2 ms, each decade as likely"),
    "fixed": Strategy(lambda _chance: 20e-6, "always 20 µs: the seed moves nothing"),
}
"""The first is the default."""


class Latencies:
    """The latencies of one run."""

    def __init__(self, strategy: str, seed: int) -> None:
        self._draw, self._seed = STRATEGIES[strategy].draw, seed
        self._chances: dict[str, random.Random] = {}

    def next(self, kind: str) -> float:
        """Seconds that the next event of this kind takes."""
        chance = self._chances.get(kind)
        if chance is None:
            chance = self._chances[kind] = random.Random(f"{self._seed} {kind}")  # noqa: S311
        return self._draw(chance)
