# SPDX-License-Identifier: GPL-2.0-or-later
"""Aimed latencies: one event of the GPU is moved to each place of the driver's run, one place after the other. Pure.

A dry run says when each latency was set and when the driver has accessed registers. Between two accesses the driver has
done something that the GPU cannot see; moved into the middle between them, the event comes after the one and before the
other. Where the driver runs otherwise because of that, later events come where they come.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.latency import NANOSECONDS
from panthorlab.run.explore.orders import Drawn, Interleaving, is_access

INSTRUCTION_NS: Final = round(INSTRUCTION_SECONDS * NANOSECONDS)
REACH_NS: Final = 3_000_000
"""The longest latency that is tried: more than any other strategy draws, less than the driver's time-outs."""
NEAREST_NS: Final = 1_000


def places(dry: Interleaving, between: tuple[int, int] | None = None) -> list[int]:
    """Instruction counts in the middle between accesses that follow each other, within `between`."""
    first, last = between or (dry.begin, dry.end if dry.end is not None else dry.begin)
    accesses = [count for text, count in dry.events if is_access(text) and first <= count <= last]
    return [(one + next_) // 2 for one, next_ in pairwise(accesses) if next_ - one > 1]


def aims(dry: Interleaving, *, seed: int, between: tuple[int, int] | None = None) -> list[Drawn]:
    """All single latencies that move an event of the dry run to another place of the driver's, in random order, so that
    any beginning of the list is spread over events and places."""
    found = list(_aims(dry.latencies, places(dry, between)))
    random.Random(f"aims {seed}").shuffle(found)  # noqa: S311
    return found


def _aims(latencies: Sequence[Drawn], at: Sequence[int]) -> Iterator[Drawn]:
    for one in latencies:
        own = one.count + one.ns // INSTRUCTION_NS
        home = sum(place < own for place in at)
        for turn, place in enumerate(at):
            ns = (place - one.count) * INSTRUCTION_NS
            if NEAREST_NS <= ns <= REACH_NS and turn not in (home - 1, home):
                yield Drawn(one.kind, one.number, ns, one.count)
