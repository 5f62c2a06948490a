# SPDX-License-Identifier: GPL-2.0-or-later
"""What each boot of an exploration does: a function of its number, so that an exploration can go on. Pure.

The first boot is a dry run, with all latencies at their default: it shows which workloads there are, what they do and
how often. Where there are several, each has another one by itself. If blocks of the driver are aimed at, boots follow
in which one event after the other is late. The boots after that take turns with the workloads
and, of each, with the strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from panthorlab.gpu.latency import Override, format_overrides
from panthorlab.gpu.targets import format_targets
from panthorlab.run.arms import ALONE
from panthorlab.run.explore.aim import Aim
from panthorlab.run.explore.orders import Interleaving
from panthorlab.run.explore.strategies import AIMED, FIXED
from panthorlab.run.plan import Slot
from panthorlab.run.record import Need

PER_BOOT: Final = 32
"""Iterations of a boot, each with a seed of its own: a boot takes as long as some tens of short ones."""
UNREACHED: Final = "exact.unreached"
"""What moves one event may keep another from coming at all: of that an exploration learns, too."""
RESERVED: Final = (
    "exact.latency",
    "exact.override",
    "exact.vary",
    "exact.kinds",
    "exact.length",
    "exact.plain",
    "exact.orders",
    "exact.calls",
    "exact.target",
    UNREACHED,
)
"""Parameters that an exploration sets itself."""


@dataclass(frozen=True)
class Portion:
    """One boot: iterations of `workload` (None: one of each there is) with the seeds from `seed` on. `params`: of the
    GPU model and its board. `aims`: of the strategy that has some, one for each iteration, from window `first` on.
    `dry`: it shows what there is to explore, and is not counted."""

    workload: str | None
    strategy: str
    seed: int
    count: int
    params: Mapping[str, str]
    aims: Sequence[Aim] = ()
    first: int = 1
    dry: bool = False

    def after(self, done: int) -> Portion:
        """The same boot, of whose iterations so many were done before it was interrupted."""
        left = self.aims[done:]
        return replace(self, seed=self.seed + done, params={**self.params, **_moving(left, self.first)})


def _moving(aims: Sequence[Aim], first: int) -> dict[str, str]:
    moves = list(enumerate(aims, first))
    params = {"exact.override": format_overrides(one.override(window) for window, one in moves)}
    params["exact.target"] = format_targets(
        target for window, one in moves if (target := one.target(window)) is not None
    )
    return {name: value for name, value in params.items() if value}


def dry_run(workload: str | None, *, code: bool) -> Portion:
    """An iteration with the default latencies. `code`: calls of the driver are written down."""
    return Portion(workload, FIXED, 1, 1, model_params(FIXED) | ({"exact.calls": "on"} if code else {}), dry=True)


def late_runs(workload: str, window: int, events: Sequence[Aim]) -> list[Portion]:
    """Iterations in each of which another event is late, while the driver's blocks are written down. `window`: the
    number of the first in its boot."""
    parts = [events[start : start + PER_BOOT] for start in range(0, len(events), PER_BOOT)]
    params = model_params(FIXED) | {"exact.calls": "blocks"}
    return [Portion(workload, AIMED, 1, len(part), params, part, window, dry=True).after(0) for part in parts]


def kinds_of(needs: Iterable[Need]) -> tuple[str, ...]:
    """Of which kinds of event the tests want the latencies moved; empty: of all."""
    wanted = [need.latencies for need in needs]
    return tuple(dict.fromkeys(kind for kinds in wanted for kind in kinds)) if all(wanted) else ()


def model_params(
    strategy: str, overrides: Sequence[Override] = (), length: int | None = None, kinds: Sequence[str] = ()
) -> dict[str, str]:
    """Parameters of the GPU model for an exploration's boot."""
    params = {"exact.latency": strategy, "exact.vary": "iterations", "exact.orders": "on", UNREACHED: "allowed"}
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
    see `kinds_of`. `aims`: by workload, what strategy aimed does."""

    def __init__(
        self,
        dry: Mapping[str, Interleaving],
        strategies: Sequence[str],
        seed: int,
        first: int,
        kinds: tuple[str, ...] = (),
        aims: Mapping[str, Sequence[Aim]] | None = None,
    ) -> None:
        self._dry, self._strategies, self._seed, self.first, self._kinds = dry, strategies, seed, first, kinds
        self._workloads = list(dry)
        self.aims = aims or {}

    def portion(self, index: int) -> Portion:
        """What boot `index` explores; nothing, if the strategy has no more for its workload."""
        turn, which = divmod(index - self.first, len(self._workloads))
        again, kind = divmod(turn, len(self._strategies))
        workload, strategy = self._workloads[which], self._strategies[kind]
        start = again * PER_BOOT
        if strategy == AIMED:
            wanted = self.aims[workload][start : start + PER_BOOT]
            first = self._dry[workload].window
            made = Portion(workload, AIMED, self._seed + start, len(wanted), model_params(FIXED), wanted, first)
            return made.after(0)
        length = max(1, len(self._dry[workload].latencies))
        params = model_params(strategy, length=length, kinds=self._kinds)
        return Portion(workload, strategy, self._seed + start, PER_BOOT, params)

    def ended(self, index: int) -> bool:
        """Whether no boot from this number on explores anything: all strategies have come to their end."""
        turns = len(self._workloads) * len(self._strategies)
        return all(not self.portion(index + turn).count for turn in range(turns))
