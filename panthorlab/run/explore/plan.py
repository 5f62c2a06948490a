# SPDX-License-Identifier: GPL-2.0-or-later
"""What each boot of an exploration does: a function of its number, so that an exploration can go on. Pure.

The first boot is a dry run, with all latencies at their default: it shows which workloads there are, what they do and
how often. Where there are several, each has another one by itself. The boots after that take turns with the workloads
and, of each, with the strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.gpu.latency import Override
from panthorlab.run.arms import ALONE
from panthorlab.run.explore.aim import Aim, aims
from panthorlab.run.explore.course import Course
from panthorlab.run.explore.orders import Interleaving
from panthorlab.run.explore.points import span
from panthorlab.run.explore.strategies import AIMED, FIXED
from panthorlab.run.plan import Slot
from panthorlab.run.record import Need

PER_BOOT: Final = 32
"""Iterations of a boot, each with a seed of its own: a boot takes as long as some tens of short ones."""
RESERVED: Final = (
    "exact.latency",
    "exact.override",
    "exact.vary",
    "exact.kinds",
    "exact.length",
    "exact.plain",
    "exact.orders",
    "exact.calls",
)
"""Parameters that an exploration sets itself."""


@dataclass(frozen=True)
class Portion:
    """One boot: iterations of `workload` (None: one of each there is) with the seeds from `seed` on. `params`: of the
    GPU model and its board. `dry`: with the default latencies. `aims`: of the strategy that has some, one for each
    iteration."""

    workload: str | None
    strategy: str
    seed: int
    count: int
    params: Mapping[str, str]
    aims: Sequence[Aim] = ()

    @property
    def dry(self) -> bool:
        return self.strategy == FIXED


def dry_run(workload: str | None, *, blocks: bool) -> Portion:
    """An iteration with the default latencies. `blocks`: what the driver's code does is written down."""
    return Portion(workload, FIXED, 1, 1, model_params(FIXED) | ({"exact.calls": "blocks"} if blocks else {}))


def kinds_of(needs: Iterable[Need]) -> tuple[str, ...]:
    """Of which kinds of event the tests want the latencies moved; empty: of all."""
    wanted = [need.latencies for need in needs]
    return tuple(dict.fromkeys(kind for kinds in wanted for kind in kinds)) if all(wanted) else ()


def model_params(
    strategy: str, overrides: Sequence[Override] = (), length: int | None = None, kinds: Sequence[str] = ()
) -> dict[str, str]:
    """Parameters of the GPU model for an exploration's boot."""
    params = {"exact.latency": strategy, "exact.vary": "iterations", "exact.orders": "on"}
    if overrides:
        params["exact.override"] = ",".join(map(str, overrides))
    if kinds:
        params["exact.kinds"] = ",".join(kinds)
    if length is not None:
        params["exact.length"] = str(length)
    return params


def index_of(slot: str) -> int:
    """The number of the boot in this slot, from 0."""
    return int(slot.removeprefix(ALONE)) - 1


def slots(first: int, count: int, board: str) -> list[Slot]:
    """The slots of boots by their numbers."""
    return [Slot(ALONE, index, board) for index in range(first, first + count)]


class Schedule:
    """`dry`: by workload, the interleaving of its dry run. `first`: the number of the first boot after these. `kinds`:
    see `kinds_of`. `between`: two points of the dry run between which is aimed; none: anywhere. `courses`: by workload,
    what the driver's code did in the dry run; none, if that is not known."""

    def __init__(
        self,
        dry: Mapping[str, Interleaving],
        strategies: Sequence[str],
        seed: int,
        first: int,
        kinds: tuple[str, ...] = (),
        between: tuple[str, ...] = (),
        courses: Mapping[str, Course] | None = None,
    ) -> None:
        self._dry, self._strategies, self._seed, self.first, self._kinds = dry, strategies, seed, first, kinds
        self._workloads = list(dry)
        self._params = {"exact.calls": "held"} if courses else {}
        self._aims: dict[str, list[Aim]] = {}
        if AIMED in strategies:
            for name, one in dry.items():
                course = courses[name] if courses else None
                ends = span(one, course, *between) if between else None
                self._aims[name] = aims(one, course, seed=seed, kinds=kinds, between=ends)

    @property
    def aims(self) -> Mapping[str, Sequence[Aim]]:
        """By workload, all that there are."""
        return self._aims

    def portion(self, index: int, done: int = 0) -> Portion:
        """What boot `index` explores; nothing, if the strategy has no more for its workload. `done`: so many of its
        seeds were explored before it was interrupted."""
        turn, which = divmod(index - self.first, len(self._workloads))
        again, kind = divmod(turn, len(self._strategies))
        workload, strategy = self._workloads[which], self._strategies[kind]
        seed = self._seed + again * PER_BOOT + done
        if strategy == AIMED:
            return self._aimed(workload, again * PER_BOOT, seed, done)
        length = max(1, len(self._dry[workload].latencies))
        params = model_params(strategy, length=length, kinds=self._kinds)
        return Portion(workload, strategy, seed, PER_BOOT, params)

    def _aimed(self, workload: str, start: int, seed: int, done: int) -> Portion:
        wanted = self._aims[workload][start : start + PER_BOOT]
        first = self._dry[workload].window
        overrides = [one.drawn.override(first + turn) for turn, one in enumerate(wanted[done:])]
        params = model_params(FIXED, overrides) | self._params
        return Portion(workload, AIMED, seed, len(wanted), params, wanted)

    def ended(self, index: int) -> bool:
        """Whether no boot from this number on explores anything: all strategies have come to their end."""
        turns = len(self._workloads) * len(self._strategies)
        return all(not self.portion(index + turn).count for turn in range(turns))
