# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of the driver when a test is over, and of a suite that counts when its last workload is: it holds
nothing of processes that are gone, or the marker `leaves` says why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from panthorlab.run.needs import LEAVES, name_of
from panthorlab.run.proof import HEARD, PROVED, prove_heard, recorded_as_test
from panthorlab.run.record import OfBoot

if TYPE_CHECKING:
    import pytest

    from panthorlab.run.session import Session

NOTHING_LEFT: Final = "nothing_is_left"
"""Name of the test after the counted workloads of a suite, whose iterations have rules of their own."""


def can_tell(session: Session) -> bool:
    """Whether what the driver holds can be asked, and is the tests' alone. Nothing is asked after a crash, which may
    have left with a lock that reading debugfs would wait for."""
    return not session.crashed and session.holdings.alone()


def what_is_left(item: pytest.Item, session: Session) -> str:
    """In words, what the driver still holds after `item` that it did not hold before; empty if nothing, or if that is
    declared."""
    if session.crashed:
        return ""
    if item.get_closest_marker(LEAVES) is not None:
        session.holdings.forgive()
        return ""
    return session.left()


def end_counted(item: pytest.Item, session: Session, emit: Callable[[OfBoot], None], finds: Collection[str]) -> None:
    """After the last counted workload of a suite, which look for the kinds `finds`: what is asked then is a test of its
    own each. Raises AssertionError or PanthorlabError if one fails."""
    suite = name_of(item).partition("::")[0]
    if PROVED in finds:
        with recorded_as_test(emit, suite, HEARD):
            prove_heard(session)
    if can_tell(session) and f"{suite}::{NOTHING_LEFT}" not in session.job_description.done_tests:
        with recorded_as_test(emit, suite, NOTHING_LEFT, proof=False):
            if left := what_is_left(item, session):
                raise AssertionError(left)
