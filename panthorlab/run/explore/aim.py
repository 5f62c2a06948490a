# SPDX-License-Identifier: GPL-2.0-or-later
"""Aimed latencies: one event of the GPU is moved to each place of the driver's run, one place after the other. Pure.

A dry run says which events there are. For each of them one more iteration has it as late as is tried, and shows which
blocks of the driver's code begin before it: to these it can come, for until it comes nothing is otherwise. Behind them
are places that the driver does not reach without the event. Nothing comes within a block, so there are no other places.
A loop begins the same blocks again and again: of each block, the first begin after the latency was set is aimed at, and
no other.

Of a kernel whose code has no known address, only the driver's register accesses are known. Then the places are the
middles between two of the dry run that follow each other.

Where the driver runs otherwise because of the moved event, later events come where they come.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.serve import TURN
from panthorlab.gpu.latency import NANOSECONDS, Override
from panthorlab.gpu.targets import Target
from panthorlab.run.explore.course import Course
from panthorlab.run.explore.orders import Drawn, Interleaving, is_access
from panthorlab.run.explore.points import within

INSTRUCTION_NS: Final = round(INSTRUCTION_SECONDS * NANOSECONDS)
REACH_NS: Final = 3_000_000
"""The longest latency that is tried: more than any other strategy draws, less than the driver's time-outs."""
NEAREST_NS: Final = 1_000
MOST_LATE: Final = 64
"""Of an iteration's events, so many are aimed: each wants an iteration of its own first. `heap-exit/exit` has 17."""
NOWHERE: Final = 1
"""The address of no block: an event that waits for it comes when its latency is over."""


@dataclass(frozen=True)
class Aim:
    """The latency of the `number`th event of its `kind`. `address`: it comes sooner, at the `begins`th begin of this
    block after it was set; None: it does not."""

    kind: str
    number: int
    ns: int
    address: int | None = None
    begins: int = 1

    def override(self, window: int) -> Override:
        return Override(window, self.kind, self.number, self.ns)

    def target(self, window: int) -> Target | None:
        if self.address is None:
            return None
        return Target(window, self.kind, self.number, self.address, self.begins)


@dataclass(frozen=True)
class LateRun:
    """An iteration in which one event, the `number`th of its `kind`, came as late as is tried, and what the driver did
    until then."""

    kind: str
    number: int
    order: Interleaving
    course: Course


def late(
    dry: Interleaving, *, seed: int, kinds: tuple[str, ...] = (), between: tuple[int, int] | None = None
) -> list[Aim]:
    """What makes events of a dry run late, one by one: those that can come within `between`, at most `MOST_LATE` and of
    each kind about as many, chosen at random. `kinds`: beginnings of those of the events; none: all. Turns of CPUs are
    no events of the GPU."""
    first, last = between or (dry.begin, dry.last)
    reach = REACH_NS // INSTRUCTION_NS
    events = [one for one in _events(dry, kinds) if one.kind != TURN and first - reach <= one.count <= last]
    chosen = list(range(len(events)))
    random.Random(f"late {seed}").shuffle(chosen)  # noqa: S311
    turns = _turns(events[at].kind for at in chosen)
    ordered = [at for _, at in sorted(zip(turns, chosen, strict=True), key=lambda pair: pair[0])]
    return [Aim(events[at].kind, events[at].number, REACH_NS, NOWHERE) for at in sorted(ordered[:MOST_LATE])]


def block_aims(runs: Sequence[LateRun], *, seed: int, between: tuple[str, str] | None = None) -> list[Aim]:
    """All that move one event to a block that began before it in its late run. `between`: points (see `points`) of the
    run between which these begins are.

    In random order, so that any beginning of the list is spread over events and blocks. No kind of event comes to a
    block again before each has been to each block that it can come to."""
    found = [aim for run in runs for aim in _to_blocks(run, between)]
    random.Random(f"aims {seed}").shuffle(found)  # noqa: S311
    turns = _turns((aim.kind, aim.address) for aim in found)
    return [aim for _, aim in sorted(zip(turns, found, strict=True), key=lambda pair: pair[0])]


def _turns(things: Iterable[Hashable]) -> Iterator[int]:
    """How many equal ones were before each."""
    before: Counter[Hashable] = Counter()
    for one in things:
        yield before[one]
        before[one] += 1


def _to_blocks(run: LateRun, between: tuple[str, str] | None) -> Iterator[Aim]:
    drawn = run.order.drawn(run.kind, run.number)
    bounds = within(run.order, run.course, *between) if between else (run.order.begin, run.order.last)
    if drawn is None or bounds is None:
        return
    due = drawn.count + drawn.ns // INSTRUCTION_NS
    begins: Counter[int] = Counter()
    aimed: set[int] = set()
    for block in run.course.blocks:
        if not drawn.count <= block.count < due:
            continue
        begins[block.address] += 1
        if bounds[0] <= block.count <= bounds[1] and block.address not in aimed:
            aimed.add(block.address)
            yield Aim(run.kind, run.number, REACH_NS, block.address, begins[block.address])


def gap_aims(
    dry: Interleaving, *, seed: int, kinds: tuple[str, ...] = (), between: tuple[int, int] | None = None
) -> list[Aim]:
    """All that move one event between two register accesses of the dry run, in random order. `between`: instruction
    counts between which these are."""
    gaps = places(dry, between)
    found = [aim for one in _events(dry, kinds) for aim in _to_gaps(one, gaps)]
    random.Random(f"aims {seed}").shuffle(found)  # noqa: S311
    return found


def places(dry: Interleaving, between: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """The instruction counts of accesses that follow each other, within `between`."""
    first, last = between or (dry.begin, dry.last)
    accesses = [count for text, count in dry.events if is_access(text) and first <= count <= last]
    return [(one, following) for one, following in pairwise(accesses) if following - one > 1]


def _events(dry: Interleaving, kinds: tuple[str, ...]) -> list[Drawn]:
    return [one for one in dry.latencies if not kinds or one.kind.startswith(kinds)]


def _to_gaps(one: Drawn, gaps: Sequence[tuple[int, int]]) -> Iterator[Aim]:
    own = one.count + one.ns // INSTRUCTION_NS
    for first, last in gaps:
        ns = ((first + last) // 2 - one.count) * INSTRUCTION_NS
        if NEAREST_NS <= ns <= REACH_NS and not first <= own <= last:
            yield Aim(one.kind, one.number, ns)
