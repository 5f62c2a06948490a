# SPDX-License-Identifier: GPL-2.0-or-later
"""Aimed latencies: one event of the GPU is moved to each place of the driver's run, one place after the other. Pure.

A dry run says when each latency was set, and which blocks of the driver's code have begun when: an event that is due at
the first instruction of a block comes right before it. Nothing comes within a block, so there are no other places. A
loop begins the same blocks again and again: of each block, the first begin after the latency was set is aimed at, and
no other.

Of a kernel whose code has no known address, only the driver's register accesses are known; then the places are the
middles between two that follow each other.

Where the driver runs otherwise because of the moved event, later events come where they come.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.latency import NANOSECONDS
from panthorlab.run.explore.course import Course
from panthorlab.run.explore.orders import Drawn, Interleaving, is_access

INSTRUCTION_NS: Final = round(INSTRUCTION_SECONDS * NANOSECONDS)
REACH_NS: Final = 3_000_000
"""The longest latency that is tried: more than any other strategy draws, less than the driver's time-outs."""
NEAREST_NS: Final = 1_000


@dataclass(frozen=True)
class Place:
    """An event that is due at instruction `first` to `last` comes at this place; at `at`, if it is aimed at. `address`:
    of the block; None: it is between two register accesses."""

    first: int
    at: int
    last: int
    address: int | None = None


@dataclass(frozen=True)
class Aim:
    """The latency that moves an event, and the `address` of the block to which; None: between two register accesses."""

    drawn: Drawn
    address: int | None = None


def places(dry: Interleaving, course: Course | None, between: tuple[int, int] | None = None) -> list[Place]:
    """All places within `between`, in order; none: in the whole iteration."""
    first, last = between or (dry.begin, dry.end if dry.end is not None else dry.begin)
    if course is not None:
        return [
            Place(one.count + 1, one.count + 1, one.count + one.instructions, one.address)
            for one in course.blocks
            if first <= one.count <= last
        ]
    accesses = [count for text, count in dry.events if is_access(text) and first <= count <= last]
    return [Place(one, (one + two) // 2, two) for one, two in pairwise(accesses) if two - one > 1]


def aims(
    dry: Interleaving,
    course: Course | None = None,
    *,
    seed: int,
    kinds: tuple[str, ...] = (),
    between: tuple[int, int] | None = None,
) -> list[Aim]:
    """All single latencies that move an event of the dry run to another place of the driver's. `kinds`: beginnings of
    those of the events; none: all. `between`: instruction counts between which the places lie.

    In random order, so that any beginning of the list is spread over events and places. No kind of event comes to a
    block again before each has been to each block that it can come to."""
    events = [one for one in dry.latencies if not kinds or one.kind.startswith(kinds)]
    found = [aim for one in events for aim in _aims(one, places(dry, course, between))]
    random.Random(f"aims {seed}").shuffle(found)  # noqa: S311
    before: Counter[tuple[str, int | None]] = Counter()
    turns = []
    for aim in found:
        key = aim.drawn.kind, aim.address
        turns.append(before[key])
        before[key] += aim.address is not None
    return [aim for _, aim in sorted(zip(turns, found, strict=True), key=lambda pair: pair[0])]


def _aims(event: Drawn, all_places: Sequence[Place]) -> Iterator[Aim]:
    own = event.count + event.ns // INSTRUCTION_NS
    seen: set[int] = set()
    for place in all_places:
        if place.at <= event.count or place.address in seen:
            continue
        if place.address is not None:
            seen.add(place.address)
        ns = (place.at - event.count) * INSTRUCTION_NS
        if NEAREST_NS <= ns <= REACH_NS and not place.first <= own <= place.last:
            yield Aim(Drawn(event.kind, event.number, ns, event.count), place.address)
