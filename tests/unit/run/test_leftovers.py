# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked after each test and each suite that counts; the board and its kernel are made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from panthorlab.outcome import Outcome
from panthorlab.run.leftovers import NOTHING_LEFT, can_tell, end_counted, what_is_left
from panthorlab.run.record import OfBoot, Tested
from panthorlab.run.session import Session

LOST = "the driver still holds 1 VMs of processes that are gone"


@dataclass
class Asked:
    """A session whose driver holds `lost`. `forgiven`: how often that was allowed."""

    lost: str = ""
    crashed: bool = False
    others: bool = False
    done: tuple[str, ...] = ()
    forgiven: int = 0
    events: list[OfBoot] = field(default_factory=list)

    @property
    def session(self) -> Session:
        return cast(
            Session,
            SimpleNamespace(
                crashed=self.crashed,
                holdings=SimpleNamespace(alone=self._alone, forgive=self._forgive),
                left=lambda: self.lost,
                job_description=SimpleNamespace(done_tests=self.done),
            ),
        )

    def _alone(self) -> bool:
        assert not self.crashed, "debugfs was read after a crash"
        return not self.others

    def _forgive(self) -> None:
        self.forgiven += 1

    def end(self, item: pytest.Item) -> list[Tested]:
        end_counted(item, self.session, self.events.append, ())
        return self.tests

    @property
    def tests(self) -> list[Tested]:
        return [event for event in self.events if isinstance(event, Tested)]


@pytest.fixture
def item(request: pytest.FixtureRequest) -> pytest.Item:
    return cast(pytest.Item, request.node)


def test_what_stays_is_told(item: pytest.Item) -> None:
    assert what_is_left(item, Asked(LOST).session) == LOST
    assert what_is_left(item, Asked().session) == ""


@pytest.mark.leaves("it is known")
def test_what_is_declared_is_forgiven(item: pytest.Item) -> None:
    asked = Asked(LOST)
    assert what_is_left(item, asked.session) == ""
    assert asked.forgiven == 1


def test_nothing_is_asked_after_a_crash_nor_beside_others() -> None:
    assert can_tell(Asked().session)
    assert not can_tell(Asked(crashed=True).session)
    assert not can_tell(Asked(others=True).session)


def test_a_suite_that_counts_has_a_test_of_it_at_its_end(item: pytest.Item) -> None:
    (test,) = Asked().end(item)
    assert (test.name, test.outcome, test.proof) == (f"leftovers::{NOTHING_LEFT}", Outcome.PASS, False)
    lost = Asked(LOST)
    with pytest.raises(AssertionError, match="still holds 1 VMs"):
        lost.end(item)
    assert [(test.outcome, test.message) for test in lost.tests] == [(Outcome.FAIL, LOST)]


def test_it_is_not_asked_where_nobody_can_tell_nor_twice(item: pytest.Item) -> None:
    assert Asked(LOST, others=True).end(item) == []
    assert Asked(LOST, crashed=True).end(item) == []
    assert Asked(LOST, done=(f"leftovers::{NOTHING_LEFT}",)).end(item) == []
