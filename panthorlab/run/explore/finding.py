# SPDX-License-Identifier: GPL-2.0-or-later
"""From a finding to the fewest latencies that bring it, and to the two events that must come in the wrong order.

The latencies of the iteration with the finding are made explicit, on top of the default ones, in a boot of a single
iteration, and as many are taken away as can be (delta debugging). Then the last difference between a run with the
finding and one without is made small: one latency is moved from the one side to the other, until both are as near as
they get. What is still in another order in these two, decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from panthorlab.fuzz.shrink import shrink
from panthorlab.gpu.latency import DEFAULT_SECONDS, NANOSECONDS, Override
from panthorlab.run.explore.orders import Interleaving, Swap, common, first_swap
from panthorlab.run.explore.tally import Explored, Suspect
from panthorlab.run.explore.trials import Overrides, Trials, Tried
from panthorlab.run.progress import ProgressDisplay

PATIENCE: Final = 300.0
"""Seconds for making a finding short; what is not done by then stays longer than it must."""
DEFAULT_NS: Final = round(DEFAULT_SECONDS * NANOSECONDS)
CLOSE_NS: Final = 64
"""Two runs whose latency differs by less are as near as they get: a block of instructions takes as long."""
STEPS: Final = 12
FAULT_INTERRUPT: Final = "I mmu"


@dataclass(frozen=True)
class Narrowed:
    """Two runs that differ in one latency alone: with `moved` at `faulty_ns` the finding comes, at `good_ns` not."""

    moved: Override
    faulty_ns: int
    good_ns: int
    swap: Swap | None


@dataclass(frozen=True)
class Explained:
    """`reproduces`: it also comes in a boot of one iteration. `overrides`: the fewest latencies that bring it, of
    `drawn`; none, if it comes with the default ones. Then `averting` are the fewest that keep it away; None: nothing
    that was seen does. `whole`: nothing more could be taken away, or time was over."""

    reproduces: bool
    drawn: int
    tried: int
    seconds: float
    overrides: Overrides = ()
    by_default: bool = False
    averting: Overrides | None = None
    narrowed: Narrowed | None = None
    options: Sequence[str] = ()
    whole: bool = True


def explain(found: Suspect, tally: Explored, trials: Trials, progress: ProgressDisplay) -> Explained:
    """What brings the finding."""
    begin = time.monotonic()
    work = _Work(trials, found.key, begin + PATIENCE, progress)
    order, base = tally.order_of(found), trials.one()
    drawn = len(order.latencies) if order is not None else 0
    made = Explained(False, drawn, 0, 0.0)
    if base.shows(found.key):
        made = replace(made, reproduces=True, by_default=True, options=trials.options(()))
        if base.interleaving is not None:
            made = _averted(made, base.interleaving, tally.good.get(found.iteration.workload, ()), work)
    elif (
        order is not None and base.interleaving is not None and (all_of := _reproduced(order, base.interleaving, work))
    ):
        kept = work.shortest(all_of, lambda tried: tried.shows(found.key))
        narrowed = work.narrow(kept, lambda tried: tried.shows(found.key))
        made = replace(made, reproduces=True, overrides=kept, narrowed=narrowed, options=trials.options(kept))
    whole = time.monotonic() < work.deadline
    return replace(made, tried=trials.tried, seconds=round(time.monotonic() - begin, 1), whole=whole)


def explicit(order: Interleaving, window: int) -> Overrides:
    """The latencies of an iteration that are not the default, as overrides in another window."""
    return tuple(one.override(window) for one in order.latencies if one.ns != DEFAULT_NS)


def until_fault(order: Interleaving) -> Interleaving:
    """Without the latencies that were set after the GPU had told its first fault: they cannot have brought it."""
    fault = next((count for text, count in order.events if text == FAULT_INTERRUPT), None)
    if fault is None:
        return order
    return replace(order, latencies=tuple(one for one in order.latencies if one.count <= fault))


def _reproduced(order: Interleaving, base: Interleaving, work: _Work) -> Overrides | None:
    """The latencies with which a boot of one iteration has the finding, too; None if it has not."""
    candidates = [explicit(until_fault(order), base.window), explicit(order, base.window)]
    work.trials.ahead(candidates)
    return next((one for one in candidates if work.trials.one(one).shows(work.key)), None)


def _averted(made: Explained, base: Interleaving, good: Sequence[Interleaving], work: _Work) -> Explained:
    """It comes with the default latencies: which keep it away?"""
    nearest = sorted(good, key=lambda one: -common(one.order, base.order))
    for order in nearest[:2]:
        candidate = explicit(order, base.window)
        if candidate and work.trials.one(candidate).clean:
            kept = work.shortest(candidate, lambda tried: tried.clean)
            return replace(made, averting=kept, narrowed=work.narrow(kept, lambda tried: tried.clean))
    return made


@dataclass
class _Work:
    trials: Trials
    key: frozenset[str]
    deadline: float
    progress: ProgressDisplay

    @property
    def over(self) -> bool:
        return time.monotonic() > self.deadline

    def shortest(self, items: Overrides, holds: Callable[[Tried], bool]) -> Overrides:
        """The fewest of them with which `holds` is still true."""

        def ahead(parts: Sequence[Overrides]) -> None:
            self.progress.step(f"shrinking {len(items)} latencies, boots", self.trials.tried)
            if not self.over:
                self.trials.ahead(parts)

        return shrink(items, lambda part: not self.over and holds(self.trials.one(part)), ahead)

    def narrow(self, kept: Overrides, holds: Callable[[Tried], bool]) -> Narrowed | None:
        """Two runs as near to each other as can be had, of which one has the finding: of what was kept, one latency is
        moved to its default. `holds`: of the run with all of them."""
        pairs = []
        here = self.trials.one(kept)
        for moved in kept:
            there = self.trials.one(_at(kept, moved, DEFAULT_NS)) if not self.over else None
            if there is not None and self._judged(there) and not holds(there):
                pairs.append((common(_order(here), _order(there)), moved, there))
        if not pairs:
            return None
        _, moved, there = max(pairs, key=lambda pair: pair[0])
        near, far = moved.ns, DEFAULT_NS
        for _ in range(STEPS):
            if abs(near - far) <= CLOSE_NS or self.over:
                break
            self.progress.step("narrowing, boots", self.trials.tried)
            near, far, here, there = self._closer(kept, moved, (near, far), (here, there), holds)
        faulty, good = (here, there) if here.shows(self.key) else (there, here)
        sides = (near, far) if here.shows(self.key) else (far, near)
        return Narrowed(moved, *sides, first_swap(_order(faulty), _order(good)))

    def _closer(
        self,
        kept: Overrides,
        moved: Override,
        ends: tuple[int, int],
        runs: tuple[Tried, Tried],
        holds: Callable[[Tried], bool],
    ) -> tuple[int, int, Tried, Tried]:
        """One step: the latencies between are tried, as many at once as there may be boots."""
        (near, far), (here, there) = ends, runs
        jobs = max(1, self.trials.settings.jobs)
        between = [near + (far - near) * turn // (jobs + 1) for turn in range(1, jobs + 1)]
        self.trials.ahead([_at(kept, moved, ns) for ns in between])
        for ns in between:
            run = self.trials.one(_at(kept, moved, ns))
            if not self._judged(run):
                continue
            if not holds(run):
                return near, ns, here, run
            near, here = ns, run
        return near, far, here, there

    def _judged(self, run: Tried) -> bool:
        return run.clean or run.shows(self.key)


def _at(kept: Overrides, moved: Override, ns: int) -> Overrides:
    """The same, with one latency at another value."""
    others = tuple(one for one in kept if one != moved)
    return others if ns == DEFAULT_NS else (*others, replace(moved, ns=ns))


def _order(run: Tried) -> tuple[str, ...]:
    return run.interleaving.order if run.interleaving is not None else ()
