# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known from the nights on record, and what is still to be done; pure, so that resuming is nothing special."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from panthorlab.nightly.model import KernelNight, Night, NightOutcome
from panthorlab.nightly.plan import KernelPlan
from panthorlab.nightly.record import (
    KernelJudged,
    KernelPlaced,
    NightEnd,
    NightStart,
    NightTelling,
    NightTold,
    TreeFetched,
)
from panthorlab.run.record import Event

COMPARABLE: Final = frozenset({NightOutcome.GOOD, NightOutcome.FAILING})
"""Nights with which others are compared: whole, and without anything new."""


@dataclass
class NightSoFar:
    """One night on record. `kernels`: by name, as they were judged last; `placed`: where they were built."""

    start: NightStart
    tips: dict[tuple[str, str], TreeFetched] = field(default_factory=dict)
    kernels: dict[str, KernelJudged] = field(default_factory=dict)
    placed: dict[str, KernelPlaced] = field(default_factory=dict)
    end: NightEnd | None = None
    telling: NightTelling | None = None
    told: NightTold | None = None

    @property
    def name(self) -> str:
        return self.start.night

    @property
    def untold(self) -> bool:
        """Whether it has ended, and those who are to know have not been told."""
        return self.end is not None and self.start.tells and self.told is None


@dataclass(frozen=True)
class Nights:
    """All of them, oldest first."""

    nights: tuple[NightSoFar, ...]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Nights:
        nights: dict[str, NightSoFar] = {}
        for event in events:
            match event:
                case NightStart():
                    nights[event.night] = NightSoFar(event)
                case TreeFetched():
                    nights[event.night].tips[event.tree, event.branch] = event
                case KernelPlaced():
                    nights[event.night].placed[event.kernel] = event
                case KernelJudged():
                    nights[event.night].kernels[event.kernel.name] = event
                case NightEnd():
                    nights[event.night].end = event
                case NightTelling():
                    nights[event.night].telling = event
                case NightTold():
                    nights[event.night].told = event
        return cls(tuple(nights.values()))

    @property
    def unfinished(self) -> NightSoFar | None:
        """The last night, if it has not ended."""
        return self.nights[-1] if self.nights and self.nights[-1].end is None else None

    def told(self, name: str, before: str) -> Iterator[KernelJudged]:
        """Of one kernel: what the nights before the night `before` say of it, newest first, errors left out."""
        earlier = list(takewhile(lambda night: night.name != before, self.nights))
        for night in reversed(earlier):
            own = night.kernels.get(name)
            if own is not None and own.kernel.outcome is not NightOutcome.ERROR:
                yield own

    def judged(self, name: str, before: str) -> Iterator[KernelJudged]:
        """The same of nights that tested it themselves."""
        return (own for own in self.told(name, before) if own.kernel.outcome is not NightOutcome.UNCHANGED)

    def last_judged(self, before: str) -> Mapping[str, str]:
        """By kernel, the night that judged it last."""
        names = {name for night in self.nights for name in night.kernels}
        found = {name: next(self.judged(name, before), None) for name in names}
        return {name: last.night for name, last in found.items() if last}

    def good(self, name: str, before: str, there: Callable[[KernelNight], bool]) -> KernelJudged | None:
        """The night that a night is compared with; the event's `night` names it. `there`: whether its run still is."""
        return next(
            (own for own in self.judged(name, before) if own.kernel.outcome in COMPARABLE and there(own.kernel)), None
        )

    def placed(self, name: str) -> KernelPlaced | None:
        """Where a kernel was built last, also of a night that goes on."""
        return next((night.placed[name] for night in reversed(self.nights) if name in night.placed), None)

    def built(self, name: str, tree: str) -> str:
        """The last commit of a kernel that was built in the tree of the commit `tree`, and has run; empty if none."""
        for night in reversed(self.nights):
            place, said = night.placed.get(name), night.kernels.get(name)
            if place and said and place.tree == tree and said.kernel.kernel:
                return place.commit
        return ""

    def same(self, plan: KernelPlan, commit: str, before: str) -> KernelJudged | None:
        """What was said last of this kernel, if all was as it is now; `commit`: all digits."""
        last = next(self.told(plan.name, before), None)
        then = last.kernel.commit if last and last.asked == plan.asked else None
        return last if then and then.id == commit else None


def whole(night: NightSoFar, directory: str, now: float) -> Night:
    """As it is reported. What was not come to is an error, never left out. `now`: of a night that goes on, the time."""
    seconds = night.end.seconds if night.end else max(0.0, now - night.start.time)
    kernels = tuple(
        night.kernels[name].kernel if name in night.kernels else _not_reached(name) for name in night.start.kernels
    )
    notes = night.end.notes if night.end else ("this night has not ended",)
    notes += _untold(night.told, directory) if night.told else ()
    return Night(night.name, night.start.title, night.start.time, seconds, directory, kernels, notes)


def _untold(told: NightTold, directory: str) -> tuple[str, ...]:
    """Who may not know of it."""
    again = f"`panthorlab notify {directory} --config FILE` tells it again"
    if told.interrupted:
        return (f"it was interrupted while people were told of it, and who knows is not known: {again}",)
    return tuple(f"not told: {one.channel}: {one.message}; {again}" for one in told.deliveries if one.message)


def _not_reached(name: str) -> KernelNight:
    tree, _, rest = name.partition("/")
    branch, _, config = rest.rpartition("/")
    return KernelNight(name, tree, branch, config, "", NightOutcome.ERROR, reasons=("the night has not come to it",))


def trend(nights: Sequence[NightSoFar], most: int) -> list[tuple[str, int, int, int]]:
    """Of the last nights, newest first: name, attempted, judged and lost."""
    rows = []
    for night in reversed(nights[-most:]):
        own = [event.kernel for event in night.kernels.values()]
        sums = [sum(getattr(one, what) for one in own) for what in ("attempted", "judged", "lost")]
        rows.append((night.name, sums[0], sums[1], sums[2]))
    return rows
