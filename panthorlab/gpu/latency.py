# SPDX-License-Identifier: GPL-2.0-or-later
"""Latencies of the GPU's asynchronous actions in exact time, drawn from the seed.

Each kind of event (an interrupt of a line, a service of the firmware, a slice of a stream) has its own random numbers,
selected by its name: an additional event of one kind does not change the latencies of the others.

A *window* is one iteration, as the guest marks it (`pci.MARK`). Rows of random numbers and the numbers of events begin
anew in it: window W of a boot with seed N has the latencies that window 1 has with seed N + W - 1.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from panthorlab.gpu.targets import Target, of_events

DEFAULT_SECONDS: Final = 20e-6
"""The latency of strategy `fixed`, and of all strategies where they draw none."""
NANOSECONDS: Final = 1e9
MOST_SECONDS: Final = 1.0
OUTSIDE: Final = 0
"""The number of the window for what is before the first iteration and between two."""
_OVERRIDE = re.compile(
    r"(?P<window>[0-9]{1,18})/(?P<kind>[^/=,]+)/(?P<number>[1-9][0-9]{0,17})=(?P<us>[0-9]{1,18}(?:\.[0-9]{1,3})?)"
)

RowDraw = Callable[[random.Random], float]
Draw = Callable[[str], float]
"""The next latency in seconds of an event of this kind."""


@dataclass(frozen=True)
class Strategy:
    """`draw`: for a seed and the number of events that an iteration is expected to have, how one window's latencies
    are drawn. `meaning`: description for the user."""

    draw: Callable[[str, int], Draw]
    meaning: str


def rows(row: RowDraw) -> Callable[[str, int], Draw]:
    """Latencies that do not depend on each other: each kind has its own row of random numbers."""

    def draw(seed: str, _length: int) -> Draw:
        chances: dict[str, random.Random] = {}

        def next_of(kind: str) -> float:
            chance = chances.get(kind)
            if chance is None:
                chance = chances[kind] = random.Random(f"{seed} {kind}")  # noqa: S311
            return row(chance)

        return next_of

    return draw


def uniform(least: float, most: float) -> RowDraw:
    return lambda chance: chance.uniform(least, most)


def log_uniform(least: float, most: float) -> RowDraw:
    """Every decade is equally likely, so both short and long latencies are tried."""
    return lambda chance: least * math.exp(chance.random() * math.log(most / least))


def pct(least: float, most: float, changes: int) -> Callable[[str, int], Draw]:
    """Priorities with few change points, after PCT: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A
    Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010.

    There, threads have random priorities, the scheduler always runs the thread with the highest one, and at `changes`
    random steps the running thread gets the lowest. Here each kind of event is a thread, and its priority is a latency:
    all events of the kind have it, from `least` (first) to `most` (last), until one of them is a change point, from
    which on the kind is slower than all others (`most`, twice that, …). What differs: the driver's own threads keep the
    kernel's schedule, latencies make an order likely but do not enforce it, and the number of steps is an estimate. So
    the paper's lower bound on the probability of finding a bug does not hold.
    """
    level = log_uniform(least, most)

    def draw(seed: str, length: int) -> Draw:
        chance = random.Random(f"{seed} change points")  # noqa: S311
        points = {chance.randint(1, max(1, length)): turn for turn in range(changes)}
        levels: dict[str, float] = {}
        step = 0

        def next_of(kind: str) -> float:
            nonlocal step
            step += 1
            if step in points:
                levels[kind] = most * (1 << points[step])
            elif kind not in levels:
                levels[kind] = level(random.Random(f"{seed} {kind}"))  # noqa: S311
            return levels[kind]

        return next_of

    return draw


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "uniform": Strategy(rows(uniform(5e-6, 60e-6)), "5 to 60 µs, each as likely"),
    "log-uniform": Strategy(rows(log_uniform(2e-6, 2e-3)), "2 µs to 2 ms, each decade as likely"),
    "pct": Strategy(
        pct(2e-6, 500e-6, 2),
        "each kind of event has one latency, 2 to 500 µs, until two random events, from which on their kind is slower "
        "than all others",
    ),
    "fixed": Strategy(rows(lambda _chance: DEFAULT_SECONDS), "always 20 µs: the seed moves nothing"),
}
"""The first is the default."""


@dataclass(frozen=True, order=True)
class Override:
    """The latency of one event: the `number`th of its `kind` (from 1) in a window. `ns`: nanoseconds."""

    window: int
    kind: str
    number: int
    ns: int

    def __str__(self) -> str:
        return f"{self.window}/{self.kind}/{self.number}={self.ns // 1000}.{self.ns % 1000:03d}"


def parse_overrides(text: str) -> tuple[Override, ...]:
    """Parse `WINDOW/KIND/NUMBER=MICROSECONDS,…`. Raises ValueError with a sentence for the user."""
    found = []
    for one in of_events(text, _OVERRIDE, "WINDOW/KIND/NUMBER=MICROSECONDS, e.g. 1/irq job/3=112.5"):
        whole, _, part = one["us"].partition(".")
        ns = int(whole) * 1000 + int(part.ljust(3, "0"))
        if ns > MOST_SECONDS * NANOSECONDS:
            raise ValueError(f"{one[0]!r}: a latency is at most {MOST_SECONDS:g} s")
        found.append(Override(int(one["window"]), one["kind"], int(one["number"]), ns))
    return tuple(found)


def format_overrides(overrides: Iterable[Override]) -> str:
    """As `parse_overrides` reads them."""
    return ",".join(map(str, overrides))


def parse_kinds(text: str) -> tuple[str, ...]:
    """Parse `KIND,…`. Raises ValueError with a sentence for the user."""
    kinds = tuple(word.strip() for word in text.split(",")) if text else ()
    if not all(kinds):
        raise ValueError(f"{text!r} is no list of kinds of event, e.g. irq,slice")
    return kinds


class Latencies:
    """The latencies of one run. `everywhere`: they are drawn also outside iterations; if not, those are the default.
    `length`: events that an iteration is expected to have. `kinds`: beginnings of those that are drawn, the default for
    others; none: all. `plain`: a window in which all are the default, but for overrides. `targets`: what `target`
    tells."""

    def __init__(
        self,
        strategy: str,
        seed: int,
        overrides: Iterable[Override] = (),
        *,
        everywhere: bool = True,
        length: int = 64,
        kinds: tuple[str, ...] = (),
        plain: int = OUTSIDE,
        targets: Iterable[Target] = (),
    ) -> None:
        self._strategy, self._seed, self._length, self._kinds = STRATEGIES[strategy], seed, length, kinds
        self._plain = plain
        self._fixed = STRATEGIES["fixed"].draw("", length)
        self._outside = self._strategy.draw(str(seed), length) if everywhere else self._fixed
        self._overrides = {(one.window, one.kind, one.number): one for one in overrides}
        self._unreached = dict(self._overrides)
        self._targets = {(one.window, one.kind, one.number): one for one in targets}
        self._windows = OUTSIDE
        self._leave()

    def begin(self) -> int:
        """A window begins; returns its number, from 1."""
        self._windows += 1
        self.window = self._windows
        self._numbers: Counter[str] = Counter()
        self._draw = self._strategy.draw(str(self._seed + self._windows - 1), self._length)
        if self.window == self._plain:
            self._draw = self._fixed
        return self.window

    def end(self) -> None:
        """The window ends."""
        self._leave()

    def next(self, kind: str) -> float:
        """Latency in seconds of the next event of this kind."""
        self._numbers[kind] += 1
        drawn = not self._kinds or kind.startswith(self._kinds)
        latency = self._draw(kind) if drawn else DEFAULT_SECONDS  # also if it is overridden: the others keep theirs
        one = self._overrides.get(event := (self.window, kind, self._numbers[kind]))
        if one is not None:
            self._unreached.pop(event, None)
        ns = round(latency * NANOSECONDS) if one is None else one.ns  # so that an override can say it exactly
        return ns / NANOSECONDS

    @property
    def unreached(self) -> tuple[Override, ...]:
        """The overrides whose event has not come so far."""
        return tuple(sorted(self._unreached.values()))

    def number(self, kind: str) -> int:
        """The number of the last event of this kind in the window."""
        return self._numbers[kind]

    def target(self, kind: str) -> Target | None:
        """Where the last event of this kind is to come instead, if the CPU gets there before its latency is over."""
        return self._targets.get((self.window, kind, self._numbers[kind])) if self._targets else None

    def _leave(self) -> None:
        self.window, self._draw = OUTSIDE, self._outside
        self._numbers = Counter()
