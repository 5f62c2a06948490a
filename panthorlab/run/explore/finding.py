# SPDX-License-Identifier: GPL-2.0-or-later
"""From a finding to the fewest latencies that bring it, and to the two events that must come in the wrong order.

The latencies of the iteration with the finding are made explicit, on top of the default ones, in a boot of a single
iteration, and as many are taken away as can be (delta debugging). Then the last difference between a run with the
finding and one without is made small: one latency is moved from the one side to the other, until both are as near as
they get. What is still in another order in these two, decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from panthorlab.fuzz.shrink import shrink
from panthorlab.gpu.latency import DEFAULT_SECONDS, NANOSECONDS, STRATEGIES, Override
from panthorlab.run.explore.aim import INSTRUCTION_NS
from panthorlab.run.explore.orders import Interleaving, Placed, Swap, common, first_swap, numbered
from panthorlab.run.explore.strategies import FIXED
from panthorlab.run.explore.tally import Explored, Suspect
from panthorlab.run.explore.trials import Overrides, Trials, Tried
from panthorlab.run.progress import ProgressDisplay

MOST_BOOTS: Final = 150
"""For making a finding short; what is not done by then stays longer than it must. Not seconds: how long a boot takes
depends on the host."""
DEFAULT_NS: Final = round(DEFAULT_SECONDS * NANOSECONDS)
CLOSE_NS: Final = 1_000
"""Two runs whose latencies differ by less are as near as is worth a boot: some hundred instructions."""
STEPS: Final = 12
"""Of narrowing: each leaves a half of what lies between two runs, or less; an iteration has some thousand events."""
FAULT_INTERRUPT: Final = "I mmu"
MOST_SEEDS: Final = 2
"""Of each strategy that draws latencies, and iterations that showed nothing, so many are tried for what keeps away a
finding that comes with the default ones."""
DRAWING: Final = tuple(name for name in STRATEGIES if name != FIXED)
LONGEST_NS: Final = 4_000_000
"""More than a latency is ever moved by."""


@dataclass(frozen=True)
class Narrowed:
    """Two runs that differ in one latency alone: with `moved` at `faulty_ns` the finding comes, at `good_ns` not."""

    moved: Override
    faulty_ns: int
    good_ns: int
    swap: Swap | None


@dataclass(frozen=True)
class Explained:
    """`reproduces`: it comes back when its latencies are made explicit, in a boot of one iteration or, if that is
    not enough, after the `before` iterations that were before it in its boot. `overrides`: the fewest latencies
    that bring it, of `drawn`; none, if it comes with the default ones. Then `averting` are the fewest that keep it
    away where it comes first; None: nothing that was tried does. `whole`: nothing more could be taken away; if not,
    `MOST_BOOTS` were made."""

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
    before: int = 0


def explain(found: Suspect, tally: Explored, trials: Trials, progress: ProgressDisplay) -> Explained:
    """What brings the finding."""
    begin = time.monotonic()
    order, work = tally.order_of(found), _Work(trials, found.key, progress)
    base = trials.one().interleaving
    made = Explained(False, len(order.latencies) if order is not None else 0, 0, 0.0)
    made = _shortest(made, order, tally.good.get(found.iteration.workload, ()), work)
    if not made.reproduces and order is not None and base is not None and (before := order.window - base.window) > 0:
        work = _Work(trials.in_place(tally.job_of(found), before, order.window), found.key, progress)
        made = replace(_shortest(made, order, (), work), before=before)
    seconds = round(time.monotonic() - begin, 1)
    return replace(made, tried=work.trials.tried, seconds=seconds, whole=not work.over)


def _shortest(made: Explained, order: Interleaving | None, good: Sequence[Interleaving], work: _Work) -> Explained:
    """The fewest latencies in boots as `work` makes them; as it was, if the finding does not come back there."""
    base, trials = work.trials.one(), work.trials
    if base.shows(work.key):
        made = replace(made, reproduces=True, by_default=True, options=trials.options(()))
        return _averted(made, base.interleaving, good, work) if base.interleaving is not None else made
    if order is None or base.interleaving is None or (all_of := _reproduced(order, base.interleaving, work)) is None:
        return made
    kept = work.shortest(all_of, lambda tried: tried.shows(work.key))
    narrowed = work.narrow(kept, lambda tried: tried.shows(work.key), brings=True)
    kept = reached(kept, work.trials.one(kept).interleaving)
    return replace(made, reproduces=True, overrides=kept, narrowed=narrowed, options=trials.options(kept))


def reached(overrides: Overrides, order: Interleaving | None) -> Overrides:
    """Without those whose event did not come in this run with them, which is the same without; `panthorlab run` would
    refuse them. There are such if there was no time to try all."""
    if order is None:
        return overrides
    came = {(one.kind, one.number) for one in order.latencies}
    return tuple(one for one in overrides if one.window != order.window or (one.kind, one.number) in came)


def explicit(order: Interleaving, window: int) -> Overrides:
    """The latencies of an iteration that are not the default, as overrides in another window."""
    return tuple(one.override(window) for one in order.latencies if one.ns != DEFAULT_NS)


def first_fault(order: Interleaving) -> int | None:
    """The instruction at which the GPU has told its first fault; None if it has told none."""
    return next((count for text, count in order.events if text == FAULT_INTERRUPT), None)


def until_fault(order: Interleaving) -> Interleaving:
    """Without the latencies that were set after the GPU had told its first fault: they cannot have brought it."""
    fault = first_fault(order)
    if fault is None:
        return order
    return replace(order, latencies=tuple(one for one in order.latencies if one.count <= fault))


def without_first(base: Interleaving, order: Interleaving) -> bool:
    """Whether the first fault of `base` does not come in another run of the iteration: that has none, or its first one
    is later than a latency can have moved the same."""
    first, other = first_fault(base), first_fault(order)
    if first is None:
        return False
    return other is None or other - order.begin > first - base.begin + LONGEST_NS // INSTRUCTION_NS


def drawn_as(base: Interleaving, strategy: str, seed: int) -> Overrides:
    """The latencies that this seed would draw, for the events of an iteration."""
    draw = STRATEGIES[strategy].draw(str(seed), len(base.latencies))
    return tuple(replace(one, ns=round(draw(one.kind) * NANOSECONDS)).override(base.window) for one in base.latencies)


def _reproduced(order: Interleaving, base: Interleaving, work: _Work) -> Overrides | None:
    """The latencies with which a boot of one iteration has the finding, too; None if it has not."""
    candidates = [explicit(until_fault(order), base.window), explicit(order, base.window)]
    work.trials.ahead(candidates)
    return next((one for one in candidates if work.trials.one(one).shows(work.key)), None)


def _averting(base: Interleaving, good: Sequence[Interleaving]) -> list[Overrides]:
    """What may keep away what comes with the default latencies: those that seeds of other strategies would draw before
    the fault, and those of iterations that showed nothing."""
    early = until_fault(base)
    drawn = [drawn_as(early, strategy, seed) for seed in range(1, MOST_SEEDS + 1) for strategy in DRAWING]
    seen = [explicit(order, base.window) for order in sorted(good, key=lambda one: -common(one.order, base.order))]
    return list(dict.fromkeys(filter(None, [*drawn, *seen[:MOST_SEEDS]])))


def _averted(made: Explained, base: Interleaving, good: Sequence[Interleaving], work: _Work) -> Explained:
    """It comes with the default latencies: which keep it away?"""

    def away(tried: Tried) -> bool:
        later = tried.interleaving is not None and without_first(base, tried.interleaving)
        return tried.clean or (later and tried.shows(work.key))

    candidates, at_once = _averting(base, good), max(1, work.trials.settings.jobs)
    for turn, candidate in enumerate(candidates):
        if turn % at_once == 0:
            work.progress.step("looking for what keeps it away, boots", work.trials.tried)
            work.trials.ahead(candidates[turn : turn + at_once])
        if away(work.trials.one(candidate)):
            kept = work.shortest(candidate, away)
            return replace(made, averting=kept, narrowed=work.narrow(kept, away, brings=False))
    return made


@dataclass
class _Work:
    trials: Trials
    key: frozenset[str]
    progress: ProgressDisplay

    @property
    def over(self) -> bool:
        return self.trials.tried >= MOST_BOOTS

    def shortest(self, items: Overrides, holds: Callable[[Tried], bool]) -> Overrides:
        """The fewest of them with which `holds` is still true."""

        def ahead(parts: Sequence[Overrides]) -> None:
            self.progress.step(f"shrinking {len(items)} latencies, boots", self.trials.tried)
            if not self.over:
                self.trials.ahead(parts)

        # What is furthest from the default is needed most likely, and what stands last is left out last.
        ordered = sorted(items, key=lambda one: abs(math.log(max(one.ns, 1) / DEFAULT_NS)))
        kept = shrink(ordered, lambda part: not self.over and holds(self.trials.one(part)), ahead)
        return tuple(sorted(kept))

    def narrow(self, kept: Overrides, holds: Callable[[Tried], bool], *, brings: bool) -> Narrowed | None:
        """Two runs as near to each other as can be had, of which one has the finding: of what was kept, one latency is
        moved to its default. `holds`: of the run with all of them, and `brings`: that is the one with the finding."""
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
            steps = splits((here, there), (near, far), moved, self.trials.settings.jobs)
            if not steps or self.over:
                break
            self.progress.step("narrowing, boots", self.trials.tried)
            near, far, here, there = self._closer(kept, moved, (near, far), (here, there), steps, holds)
        faulty, good = (here, there) if brings else (there, here)
        sides = (near, far) if brings else (far, near)
        return Narrowed(moved, *sides, moved_past(faulty, good, moved) or first_swap(_order(faulty), _order(good)))

    def _closer(
        self,
        kept: Overrides,
        moved: Override,
        ends: tuple[int, int],
        runs: tuple[Tried, Tried],
        steps: Sequence[int],
        holds: Callable[[Tried], bool],
    ) -> tuple[int, int, Tried, Tried]:
        """One step: the latencies `steps` between the two are tried, at once."""
        (near, far), (here, there) = ends, runs
        between = sorted(steps, reverse=near > far)
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


@dataclass(frozen=True)
class _Passed:
    """Two runs that differ in when one event comes are the same until it comes in the earlier one. `set_at`: the
    instruction at which its latency was set; `events`: what happens in the later run until it comes there, too."""

    set_at: int
    first_is_late: bool
    events: Sequence[tuple[Placed, int]]


def _passed(one: Tried, other: Tried, moved: Override) -> _Passed | None:
    """What the moved event passes between two runs; None if that is not known."""
    due = []
    for run in (one, other):
        drawn = run.interleaving.drawn(moved.kind, moved.number) if run.interleaving is not None else None
        if drawn is None:
            return None
        due.append(drawn.count + drawn.ns // INSTRUCTION_NS)
        set_at = drawn.count
    late = (one if due[0] > due[1] else other).interleaving
    assert late is not None  # noqa: S101 - its latency was known
    events = zip(numbered(late.order), (count for _, count in late.events), strict=True)
    between = [(event, count) for event, count in events if min(due) < count < max(due)]
    return _Passed(set_at, due[0] > due[1], between)


def splits(runs: tuple[Tried, Tried], ends: tuple[int, int], moved: Override, jobs: int) -> list[int]:
    """Latencies between those of two runs (`ends`), at most `jobs`, each in the middle between two events that the
    moved one passes; none if it passes a single one. If it passes none, since the driver waits for it, they divide the
    time between; none if that is short."""
    jobs = max(1, jobs)
    passed = _passed(*runs, moved)
    if passed is None or not passed.events:
        one, other = ends
        return [one + (other - one) * turn // (jobs + 1) for turn in range(1, jobs + 1)] * (abs(one - other) > CLOSE_NS)
    if len(passed.events) == 1:
        return []
    counts = [count for _, count in passed.events]
    cuts = {max(1, len(counts) * turn // (jobs + 1)) for turn in range(1, jobs + 1)}
    return sorted({((counts[cut - 1] + counts[cut]) // 2 - passed.set_at) * INSTRUCTION_NS for cut in cuts})


def moved_past(faulty: Tried, good: Tried, moved: Override) -> Swap | None:
    """The only event that the moved one passes between the two runs, and which of the two comes first in the one with
    the finding; None if there are more or none."""
    passed = _passed(faulty, good, moved)
    if passed is None or len(passed.events) != 1:
        return None
    ((event, _),) = passed.events
    itself = Placed(moved.kind, moved.number)
    return Swap(event, itself, True) if passed.first_is_late else Swap(itself, event, True)


def _order(run: Tried) -> tuple[str, ...]:
    return run.interleaving.order if run.interleaving is not None else ()
