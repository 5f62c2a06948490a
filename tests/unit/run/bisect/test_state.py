# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows from the boots of a bisect."""

from __future__ import annotations

from panthorlab.run.bisect.state import Known
from panthorlab.run.record import BisectBoot, BisectStart
from tests.unit.run.bisect.small_history import FAULT

START = BisectStart(repository="linux", good=("good",), bad="bad", signature=FAULT)


def boot(commit: str, number: int, *, seen: bool) -> BisectBoot:
    symptoms = (FAULT,) if seen else ()
    return BisectBoot(commit=commit, number=number, symptoms=symptoms, blamed=symptoms)


def test_a_boot_that_shows_the_fault_at_the_good_end_too_does_not_come_first() -> None:
    shown = {"bad": (3, 4, 5), "good": (4,)}
    known = Known.of(
        [START, *(boot(commit, number, seen=number in shown[commit]) for commit in shown for number in range(1, 7))]
    )
    assert known.numbers("middle", 4) == [3, 5, 0, 1]
    assert known.numbers("bad", 2) == [0, 7]
