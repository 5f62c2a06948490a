# SPDX-License-Identifier: GPL-2.0-or-later
"""What many runs say together: by night, by workload or test, by signature, by kernel and board. Pure functions.

A night is from noon to noon, in the time of this machine, and has the date on which it began. Replays count nothing,
for they repeat what another run has; nor do bisects, whose kernels are chosen for the fault that they show.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from panthorlab.history.facts import RunFacts, State
from panthorlab.verdict.stats import wilson

_NOON = 12 * 3600


@dataclass(slots=True)
class Rate:
    """`faulty` of `judged`, and the Wilson 95 % interval of that rate."""

    faulty: int = 0
    judged: int = 0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.faulty, self.judged)

    def add(self, faulty: int, judged: int) -> None:
        self.faulty += faulty
        self.judged += judged


RatesByKey = defaultdict[str, Rate]


def _rates() -> RatesByKey:
    return defaultdict(Rate)


def _sum(rates: Iterable[Rate]) -> Rate:
    total = Rate()
    for rate in rates:
        total.add(rate.faulty, rate.judged)
    return total


@dataclass
class NightRow:
    """`runs`: by verdict, damaged and unfinished ones by their state. The rest: iterations and tests, boots."""

    date: str
    runs: Counter[str] = field(default_factory=Counter)
    attempted: int = 0
    judged: int = 0
    lost: int = 0
    boots: int = 0
    boots_lost: int = 0


@dataclass
class Trend:
    """A workload or test on one board, `before`, `after` or alone. `nights`: its rate in each night that it ran in.
    `flaky`: kernels on which it was both."""

    what: str
    name: str
    board: str
    arm: str
    nights: RatesByKey = field(default_factory=_rates)
    lost: int = 0
    kernels: RatesByKey = field(default_factory=_rates)

    @property
    def suite(self) -> str:
        """By the part of the name before the first `::` or `/`."""
        return self.name.partition("::")[0].partition("/")[0].replace("_", "-")

    @property
    def all(self) -> Rate:
        return _sum(self.nights.values())

    @property
    def flaky(self) -> int:
        return sum(0 < rate.faulty < rate.judged for rate in self.kernels.values())

    @property
    def flakes(self) -> Rate:
        """On kernels on which it is flaky: how often it fails there."""
        return _sum(rate for rate in self.kernels.values() if 0 < rate.faulty < rate.judged)


@dataclass
class SignatureTrend:
    """A signature wherever it was. `nights`: in how many iterations of all that were judged where it was seen in that
    night. `first`, `last`: Unix time of the runs. `places`: (kernel, board, workload), how often, of how many."""

    signature: str
    kind: str
    headline: str
    first: float
    last: float
    first_run: RunFacts
    last_run: RunFacts
    runs: int = 0
    times: int = 0
    nights: RatesByKey = field(default_factory=_rates)
    places: defaultdict[tuple[str, str, str], Rate] = field(default_factory=lambda: defaultdict(Rate))
    arms: Counter[str] = field(default_factory=Counter)

    @property
    def all(self) -> Rate:
        return _sum(self.nights.values())


@dataclass
class KernelRow:
    """A kernel on a board: `workloads` and `tests` that ran, and their `rate`."""

    key: str
    kernel: str
    board: str
    runs: int = 0
    first: float = 0.0
    last: float = 0.0
    iterations: Rate = field(default_factory=Rate)
    tests: Rate = field(default_factory=Rate)
    signatures: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Trends:
    """All of it. `runs`: the newest first. `trouble`: those that are damaged."""

    runs: tuple[RunFacts, ...]
    nights: tuple[NightRow, ...]
    trends: tuple[Trend, ...]
    signatures: tuple[SignatureTrend, ...]
    kernels: tuple[KernelRow, ...]

    @property
    def trouble(self) -> tuple[RunFacts, ...]:
        return tuple(run for run in self.runs if run.state is State.DAMAGED)


@cache
def night_of(started: float) -> str:
    """The date on which the night of a moment began; empty of a run of which no moment is known."""
    return datetime.fromtimestamp(started - _NOON).astimezone().strftime("%Y-%m-%d") if started else ""


def trends_of(runs: Iterable[RunFacts]) -> Trends:
    """Count over `runs`, in whatever order."""
    ordered = sorted(runs, key=lambda run: (run.started, run.path))
    counted = [run for run in ordered if run.kind not in ("replay", "bisect")]
    return Trends(
        tuple(reversed(ordered)),
        tuple(_nights(counted)),
        tuple(_trends(counted)),
        tuple(_signatures(counted)),
        tuple(_kernels(counted)),
    )


def _nights(runs: Sequence[RunFacts]) -> list[NightRow]:
    nights: dict[str, NightRow] = {}
    for run in runs:
        date = night_of(run.started)
        night = nights.setdefault(date, NightRow(date))
        night.runs[run.verdict if run.state is State.ENDED else run.state.value] += 1
        night.judged += run.judged
        night.lost += run.lost
        night.attempted += run.judged + run.lost
        night.boots += run.boots
        night.boots_lost += run.boots_lost
    return [nights[date] for date in sorted(nights, reverse=True)]


def _trends(runs: Sequence[RunFacts]) -> list[Trend]:
    found: dict[tuple[str, str, str, str], Trend] = {}
    for run in runs:
        date = night_of(run.started)
        for what, tallies in (("workload", run.workloads), ("test", run.tests)):
            for (place, name), tally in tallies.items():
                key = (what, name, place.board, place.arm)
                trend = found.get(key) or found.setdefault(key, Trend(*key))
                trend.nights[date].add(tally.faulty, tally.judged)
                trend.kernels[place.key].add(tally.faulty, tally.judged)
                trend.lost += tally.lost
    return sorted(found.values(), key=lambda trend: (trend.suite, trend.name, trend.board, trend.arm))


def _signatures(runs: Sequence[RunFacts]) -> list[SignatureTrend]:
    found: dict[str, SignatureTrend] = {}
    for run in runs:
        date = night_of(run.started)
        seen: set[str] = set()
        for (place, workload, signature), sighting in run.signatures.items():
            own = found.get(signature)
            if own is None:
                own = SignatureTrend(signature, sighting.kind, sighting.headline, run.started, run.started, run, run)
                found[signature] = own
            own.last, own.last_run = run.started, run
            own.runs += signature not in seen
            seen.add(signature)
            own.times += sighting.times
            own.arms[place.arm] += sighting.times
            tally = run.workloads.get((place, workload))
            judged = max(tally.judged if tally else run.boots, sighting.times)
            own.nights[date].add(sighting.times, judged)
            own.places[place.kernel or place.key[:12], place.board, workload].add(sighting.times, judged)
    return sorted(found.values(), key=lambda own: (-own.last, own.signature))


def _kernels(runs: Sequence[RunFacts]) -> list[KernelRow]:
    found: dict[tuple[str, str], KernelRow] = {}
    for run in runs:
        seen: set[tuple[str, str]] = set()
        for tallies, tests in ((run.workloads, False), (run.tests, True)):
            for (place, _), tally in tallies.items():
                key = (place.key, place.board)
                row = found.get(key) or found.setdefault(
                    key, KernelRow(place.key, place.kernel, place.board, first=run.started)
                )
                row.last = run.started
                row.runs += key not in seen
                seen.add(key)
                (row.tests if tests else row.iterations).add(tally.faulty, tally.judged)
        for place, _, signature in run.signatures:
            if own := found.get((place.key, place.board)):
                own.signatures.add(signature)
    return sorted(found.values(), key=lambda row: (-row.last, row.kernel, row.board))
