# SPDX-License-Identifier: GPL-2.0-or-later
"""What remains to be done in a run: pure functions of its events, so that resuming is nothing special."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from panthorlab.outcome import Blame, Outcome, Side

# A boot that ended early is done again so often; a kernel that dies every time is not worth more.
MAX_LAB_ATTEMPTS: Final = 3
MAX_KERNEL_ATTEMPTS: Final = 2


@dataclass(frozen=True)
class Slot:
    """One planned boot: `index` counts the boots of its side from 0."""

    side: Side
    index: int

    @property
    def name(self) -> str:
        return f"{self.side.value}{self.index + 1}"


def schedule(boots: int) -> list[Slot]:
    """The boots of both sides in alternating order: A B B A A B … (a drift of the lab favours no side)."""
    order: list[Slot] = []
    for index in range(boots):
        pair = [Slot(Side.BEFORE, index), Slot(Side.AFTER, index)]
        order += pair if index % 2 == 0 else pair[::-1]
    return order


@dataclass(frozen=True)
class Progress:
    """What the events say about one slot.

    `done`: iterations that need not be run again, by workload. `tests`: SUITE::TEST that have a result. `attempts`:
    boots started. `complete`: a boot of this slot ran to its end. `given_up`: no further attempt makes sense.
    """

    done: Mapping[str, int]
    tests: frozenset[str]
    attempts: int
    complete: bool
    given_up: bool


def progress_of(slot: Slot, events: Iterable[Mapping[str, Any]]) -> Progress:
    done: Counter[str] = Counter()
    tests: set[str] = set()
    attempts = lab_failures = kernel_failures = 0
    complete = False
    for event in events:
        if event["event"] == "resumed":
            lab_failures = 0  # somebody has looked after the lab, and asks for another try
        if event.get("slot") != slot.name:
            continue
        match event["event"]:
            case "boot-start":
                attempts += 1
            case "iteration" if event["outcome"] != Outcome.ERROR:
                done[event["workload"]] += 1
            case "test" if event["outcome"] != Outcome.ERROR:
                tests.add(f"{event['suite']}::{event['test']}")
            case "boot-end":
                complete = complete or bool(event["complete"])
                lab_failures += event["outcome"] == Outcome.ERROR and event["blame"] != Blame.KERNEL
                kernel_failures += event["outcome"] == Outcome.FAIL and event["blame"] == Blame.KERNEL
    given_up = lab_failures >= MAX_LAB_ATTEMPTS or kernel_failures >= MAX_KERNEL_ATTEMPTS
    return Progress(dict(done), frozenset(tests), attempts, complete, given_up)


def remaining(slots: Sequence[Slot], events: Sequence[Mapping[str, Any]]) -> list[Slot]:
    """Slots that still need a boot, in order."""
    states = {slot: progress_of(slot, events) for slot in slots}
    return [slot for slot in slots if not states[slot].complete and not states[slot].given_up]
