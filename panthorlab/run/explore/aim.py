# SPDX-License-Identifier: GPL-2.0-or-later
"""Aimed latencies: one event of the GPU is moved to each place of the driver's run, one place after the other. Pure.

A dry run says when each latency was set and when the driver has accessed registers. Between two accesses the driver has
done something that the GPU cannot see; moved into the middle between them, the event comes after the one and before the
other. Where the driver runs otherwise because of that, later events come where they come.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.latency import NANOSECONDS
from panthorlab.run.explore.orders import Drawn, Interleaving, is_access

INSTRUCTION_NS: Final = round(INSTRUCTION_SECONDS * NANOSECONDS)
REACH_NS: Final = 3_000_000
"""The longest latency that is tried: more than any other strategy draws, less than the driver's time-outs."""
NEAREST_NS: Final = 1_000


def places(dry: Interleaving, between: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """The instruction counts of accesses that follow each other, within `between`."""
    first, last = between or (dry.begin, dry.end if dry.end is not None else dry.begin)
    accesses = [count for text, count in dry.events if is_access(text) and first <= count <= last]
    return [(one, following) for one, following in pairwise(accesses) if following - one > 1]


def point(dry: Interleaving, text: str) -> int:
    """The instruction count of an event of the dry run: `W AS1_COMMAND`, or the third of them, `W AS1_COMMAND:3`.
    Raises UsageError."""
    name, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal():
        name, number = text, "1"
    counts = [count for event, count in dry.events if event == name]
    if 1 <= int(number) <= len(counts):
        return counts[int(number) - 1]
    near = difflib.get_close_matches(name, {event for event, _ in dry.events}, n=3)
    there = f"the dry run has {len(counts)} of them" if counts else f"it has {', '.join(near)}, …" if near else ""
    raise UsageError(f"the dry run has no event `{text}`", hint=there or "accesses are R REGISTER and W REGISTER")


def aims(
    dry: Interleaving, *, seed: int, kinds: tuple[str, ...] = (), between: tuple[int, int] | None = None
) -> list[Drawn]:
    """All single latencies that move an event of the dry run to another place of the driver's, in random order, so that
    any beginning of the list is spread over events and places. `kinds`: beginnings of those of the events; none: all.
    `between`: instruction counts between which the places lie."""
    events = [one for one in dry.latencies if not kinds or one.kind.startswith(kinds)]
    found = list(_aims(events, places(dry, between)))
    random.Random(f"aims {seed}").shuffle(found)  # noqa: S311
    return found


def _aims(latencies: Sequence[Drawn], gaps: Sequence[tuple[int, int]]) -> Iterator[Drawn]:
    for one in latencies:
        own = one.count + one.ns // INSTRUCTION_NS
        for first, last in gaps:
            ns = ((first + last) // 2 - one.count) * INSTRUCTION_NS
            if NEAREST_NS <= ns <= REACH_NS and not first <= own <= last:
                yield Drawn(one.kind, one.number, ns, one.count)
