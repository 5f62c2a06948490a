# SPDX-License-Identifier: GPL-2.0-or-later
"""Latencies of the GPU's asynchronous actions in exact time, drawn from the seed.

Each kind of event (an interrupt of a line, a service of the firmware, a slice of a stream) has its own random numbers,
selected by its name: an additional event of one kind does not change the latencies of the others.
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
    """`draw` returns a latency in seconds. `meaning`: description for the user."""

    draw: Draw
    meaning: str


def uniform(least: float, most: float) -> Draw:
    return lambda chance: chance.uniform(least, most)


def log_uniform(least: float, most: float) -> Draw:
    """Every decade is equally likely, so both short and long latencies are tried."""
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
        """Latency in seconds of the next event of this kind."""
        chance = self._chances.get(kind)
        if chance is None:
            chance = self._chances[kind] = random.Random(f"{self._seed} {kind}")  # noqa: S311
        return self._draw(chance)
