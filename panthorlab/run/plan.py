# SPDX-License-Identifier: GPL-2.0-or-later
"""What remains to be done in a run: pure functions of its events, so that resuming is nothing special."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import Again, BootEnd, BootStart, Event, ExtensionEvent, Iteration, Moved, Resumed, Tested
from panthorlab.run.variants import slug
from panthorlab.verdict.suite import MORE_BOOTS

# A boot that ended early is done again so often; a kernel that dies every time is not worth more.
MAX_LAB_ATTEMPTS: Final = 3
MAX_KERNEL_ATTEMPTS: Final = 2
MAX_TEST_ATTEMPTS: Final = 8
"""Boots of a slot that may end because of a test: it has its result then, and the tests after it run in a new boot. One
side must not die sooner than the other only for having another bug on the way: what the other then shows looks new."""


@dataclass(frozen=True)
class Slot:
    """One planned boot of an arm: `index` counts those of its arm and variant from 0, over all boards, and so says
    which share of the iterations is its own.

    `board`: where it is to run, empty if there is only one. `fresh`: the kernel must be booted anew, even if another
    arm's still runs and exchanging its module would do. `extra`: beyond the plan, see `extension_slots`. `variant`:
    its name, empty for the plain boots. `again`: only for tests that are in doubt, see `again_slots`; counted by
    themselves.
    """

    arm: str
    index: int
    board: str = ""
    fresh: bool = True
    extra: bool = False
    variant: str = ""
    again: bool = False

    @property
    def name(self) -> str:
        parts = [self.arm, *([slug(self.variant)] if self.variant else []), *(["again"] if self.again else [])]
        return f"{'-'.join(parts)}{'-' if len(parts) > 1 else ''}{self.index + 1}"


def schedule(arms: Sequence[str], boots: int, boards: Sequence[str] = ("",)) -> list[Slot]:
    """`boots` of all arms on every board, to and fro: A B B A A B … (a drift of the lab favours no arm), on every other
    board B A A B …; the first of each turn is fresh, so that exchanged modules are nested in boots."""
    order: list[Slot] = []
    for number, board in enumerate(boards):
        for turn in range(boots):
            own = arms if (turn + number) % 2 == 0 else arms[::-1]
            order += [Slot(arm, number * boots + turn, board, fresh=arm == own[0]) for arm in own]
    return order


def variant_slots(arms: Sequence[str], names: Iterable[str], boards: Sequence[str] = ("",)) -> list[Slot]:
    """One boot of each arm and variant on every board. Their modules are of other kernels, so each is fresh."""
    return [
        Slot(arm, number, board, variant=name) for name in names for number, board in enumerate(boards) for arm in arms
    ]


def extension_slots(events: Iterable[Event], boots: int, boards: Sequence[str] = ("",)) -> list[Slot]:
    """The boots in which an arm runs what the log says it was given on top of its plan of `boots` a board; at least
    one on every board, so that what is peculiar to a board shows on all arms."""
    given = next((event for event in events if isinstance(event, ExtensionEvent)), None)
    if given is None:
        return []
    turns = max(1, -(-given.boots // len(boards)))
    first = boots * len(boards)
    return [
        Slot(given.arm, first + turn * len(boards) + number, board, extra=True)
        for turn in range(turns)
        for number, board in enumerate(boards)
    ]


def again_slots(arms: Sequence[str], events: Iterable[Event], boards: Sequence[str] = ("",)) -> list[Slot]:
    """The boots of all arms in which tests run that the log says are in doubt, by variant; one on every board."""
    tests = next((event.tests for event in events if isinstance(event, Again)), {})
    turns = max(1, -(-MORE_BOOTS // len(boards)))
    return [
        Slot(arm, turn * len(boards) + number, board, variant=variant, again=True)
        for variant in tests
        for turn in range(turns)
        for number, board in enumerate(boards)
        for arm in arms
    ]


def placed(slots: Iterable[Slot], events: Iterable[Event]) -> list[Slot]:
    """The slots where they are now: boards that died have left theirs to others."""
    moves = {event.slot: event.board for event in events if isinstance(event, Moved)}
    return [replace(slot, board=moves[slot.name], fresh=True) if slot.name in moves else slot for slot in slots]


@dataclass(frozen=True)
class SlotProgress:
    """What the events say about one slot.

    `done`: iterations that need not be run again, by workload. `tests`: SUITE::TEST that have a result. `attempts`:
    boots started. `complete`: a boot of this slot ran to its end. `given_up`: no further attempt makes sense where it
    is. `lab_failures`: boots that the lab failed there, since somebody last looked after it.
    """

    done: Mapping[str, int]
    tests: frozenset[str]
    attempts: int
    complete: bool
    given_up: bool
    lab_failures: int = 0

    @property
    def lab_gave_up(self) -> bool:
        """The lab has failed it too often where it was: another board may still do it."""
        return not self.complete and self.lab_failures >= MAX_LAB_ATTEMPTS


def progress_of(slot: Slot, events: Iterable[Event]) -> SlotProgress:
    done: Counter[str] = Counter()
    tests: set[str] = set()
    attempts = lab_failures = kernel_failures = 0
    complete = by_test = False
    for event in events:
        match event:
            case Resumed():
                lab_failures = 0  # somebody has looked after the lab, and asks for another try
            case Moved(slot=slot.name):
                lab_failures = 0
            case BootStart(slot=slot.name):
                attempts += 1
                by_test = False
            case Iteration(slot=slot.name) if event.outcome is not Outcome.ERROR:
                done[event.workload] += 1
                by_test = False
            case Tested(slot=slot.name) if event.outcome is not Outcome.ERROR:
                tests.add(event.name)
                by_test = event.outcome is Outcome.FAIL and event.blame is Blame.KERNEL and not event.proof
            case BootEnd(slot=slot.name):
                complete = complete or event.complete
                if event.outcome is Outcome.ERROR and event.blame is not Blame.KERNEL:
                    lab_failures += MAX_LAB_ATTEMPTS if event.final else 1
                if event.outcome is Outcome.FAIL and event.blame is Blame.KERNEL:
                    kernel_failures += MAX_KERNEL_ATTEMPTS if attempts > MAX_TEST_ATTEMPTS else not by_test
    given_up = lab_failures >= MAX_LAB_ATTEMPTS or kernel_failures >= MAX_KERNEL_ATTEMPTS
    return SlotProgress(dict(done), frozenset(tests), attempts, complete, given_up, lab_failures)


def remaining(slots: Sequence[Slot], events: Sequence[Event]) -> list[Slot]:
    """Slots that still need a boot, in order."""
    states = {slot: progress_of(slot, events) for slot in slots}
    return [slot for slot in slots if not states[slot].complete and not states[slot].given_up]
