# SPDX-License-Identifier: GPL-2.0-or-later
"""What an exploration has seen so far, from the events of its boots and what the GPU model has written beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panthorlab.gpu.pci import mark_of
from panthorlab.gpu.targets import Target
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.outcome import Blame, Outcome
from panthorlab.report.faults import headline
from panthorlab.run.explore.growth import Growth
from panthorlab.run.explore.hits import Hits, came_there, targets_in
from panthorlab.run.explore.orders import Interleaving, OrdersFile
from panthorlab.run.explore.plan import Portion
from panthorlab.run.job import Job
from panthorlab.run.known import only_known
from panthorlab.run.record import BootEnd, Event, Iteration, LogGap, StrayEvent, Tested
from panthorlab.verdict import KnownFinding

KEPT: Final = 8


@dataclass
class Variety:
    """Interleavings and contexts of one workload, or of one strategy on it."""

    orders: Growth = field(default_factory=Growth)
    contexts: Growth = field(default_factory=Growth)

    def add(self, one: Interleaving) -> None:
        self.orders.add([one.digest])
        self.contexts.add(one.contexts)


@dataclass(frozen=True)
class Suspect:
    """An iteration with a finding that nobody expected, and how its latencies were drawn; `target`: what was
    aimed at."""

    iteration: Iteration
    strategy: str
    target: Target | None = None

    @property
    def key(self) -> frozenset[str]:
        return key_of(self.iteration)


def key_of(iteration: Iteration) -> frozenset[str]:
    """By what the same finding is known again: its signatures; of a program that failed, what it said."""
    if iteration.outcome is not Outcome.FAIL:
        return frozenset()
    return frozenset(iteration.signatures) or frozenset({iteration.message})


class Explored:
    """`known`: findings that are expected."""

    def __init__(self, run_dir: Path, known: Sequence[KnownFinding]) -> None:
        self._run_dir, self._known = run_dir, known
        self._files: dict[str, OrdersFile] = {}
        self._orders: dict[tuple[str, int], Interleaving] = {}
        self._targets: dict[str, Mapping[int, Target]] = {}
        self.workloads: dict[str, Variety] = {}
        self.strategies: dict[tuple[str, str], Variety] = {}
        self.found: list[Suspect] = []
        self.hits: dict[str, Hits] = {}
        """By workload."""
        self.good: dict[str, list[Interleaving]] = {}
        """By workload, some iterations that showed nothing, among the first of their boots."""
        self.outside: list[str] = []
        """Findings between iterations: of the kernel, but nobody knows of which latency."""
        self.unjudged: list[str] = []

    @property
    def seeds(self) -> int:
        return sum(seen.orders.samples for seen in self.workloads.values())

    @property
    def distinct(self) -> int:
        return sum(seen.orders.distinct for seen in self.workloads.values())

    def _take(self, boot: str, iteration: str) -> Interleaving | None:
        """The interleaving of an iteration; None if the model has not written it down, or it was taken already."""
        key = boot, mark_of(iteration)
        if key not in self._orders:
            file = self._files.setdefault(boot, OrdersFile(self._run_dir / "boots" / boot))
            self._orders |= {(boot, one.mark): one for one in file.take()}
        return self._orders.pop(key, None)

    def order_of(self, found: Suspect) -> Interleaving | None:
        """The interleaving of an iteration with a finding, also of one in which its board has died."""
        file = OrdersFile(self._run_dir / "boots" / found.iteration.boot)
        return next((one for one in file.take() if one.mark == mark_of(found.iteration.id)), None)

    def job_of(self, found: Suspect) -> Job:
        """What its boot was to do."""
        file = self._run_dir / "boots" / found.iteration.boot / "job.json"
        return Job.read(json.loads(file.read_text()))

    def event(self, event: Event, portion: Portion) -> None:
        """Take an event of a boot that explores this. Of a dry run, findings count and its interleavings do not."""
        match event:
            case Iteration() if not event.cut:
                self._iteration(event, portion)
            case StrayEvent() if not event.expected:
                where = f"after {event.after}" if event.after else "before any iteration"
                self.outside.append(f"boot {event.boot}, {where}: {headline(event.finding)}")
            case LogGap():
                self.unjudged.append(f"boot {event.boot}: records of the kernel log were lost")
            case Tested() if event.proof and event.outcome is not Outcome.PASS:
                self.unjudged.append(f"boot {event.boot}: {event.name}: {event.message}")
            case BootEnd(reason="interrupted"):
                pass  # by whoever had enough of it
            case BootEnd() if event.outcome is Outcome.ERROR or (event.blame is Blame.KERNEL and not event.booted):
                self.unjudged.append(f"boot {event.boot}: {event.why}")

    def _iteration(self, event: Iteration, portion: Portion) -> None:
        if event.outcome is Outcome.ERROR:
            self.unjudged.append(f"{event.id}: {event.message}")
            return
        order = self._take(event.boot, event.id)
        target = self._aimed(event, order) if order is not None and portion.aims and not portion.dry else None
        if order is not None and not portion.dry:
            self.workloads.setdefault(event.workload, Variety()).add(order)
            self.strategies.setdefault((event.workload, portion.strategy), Variety()).add(order)
        elif order is None and event.outcome is not Outcome.FAIL:  # the board has died in one that failed
            self.unjudged.append(f"{event.id}: the GPU model has not written down its interleaving")
        if event.outcome is Outcome.FAIL and not only_known(event, self._known):
            self.found.append(Suspect(event, portion.strategy, target))
        elif order is not None and len(self.good.setdefault(event.workload, [])) < KEPT and order.window <= KEPT:
            self.good[event.workload].append(order)

    def _aimed(self, event: Iteration, order: Interleaving) -> Target | None:
        """What was aimed at in an iteration; whether it was hit is counted."""
        log_dir = self._run_dir / "boots" / event.boot
        if event.boot not in self._targets:
            self._targets[event.boot] = targets_in(log_dir)
        if (target := self._targets[event.boot].get(order.window)) is not None:
            hit = came_there(log_dir, order, target)
            self.hits.setdefault(event.workload, Hits()).add(target, hit=hit)
        return target

    def as_json(self) -> Mapping[str, JsonObject]:
        """By workload."""
        return {
            name: {
                **_numbers(seen),
                "growth": [list(point) for point in seen.orders.points()],
                "strategies": {
                    strategy: _numbers(own) for (workload, strategy), own in self.strategies.items() if workload == name
                },
            }
            for name, seen in self.workloads.items()
        }


def _numbers(seen: Variety) -> dict[str, Json]:
    return {
        "seeds": seen.orders.samples,
        "interleavings": seen.orders.distinct,
        "unseen": round(seen.orders.unseen, 4),
        "saturated": seen.orders.saturated,
        "contexts": seen.contexts.distinct,
        "unseen_contexts": round(seen.contexts.unseen, 4),
        "contexts_saturated": seen.contexts.saturated,
    }
