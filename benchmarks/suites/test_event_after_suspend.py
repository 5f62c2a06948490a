# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware has something to say of a group, and does not answer when that is to be suspended. Not among the suites
yet: drivers ring a doorbell without a clock (docs/findings/0041)."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES

LATE = "event-late,event=sync-update,ms=1000,times=0"
"""The event comes when the group is to be suspended."""
LOST = ("state-lost,state=suspend,times=0", "state-lost,state=terminate,times=0")


@pytest.mark.parametrize("lost", [(), LOST], ids=["answered", "unanswered"])
def test_no_register_is_used_asleep(session: Session, lost: tuple[str, ...]) -> None:
    """The board tells. Without an answer 6.12 leaves streams started that the next group in the slot does not have: the
    firmware faults on them."""
    with session.findings_expected({*CONSEQUENCES, "mmu-fault"} if lost else set()):
        with session.misbehaving(LATE, *lost):
            before = session.struck("event-late")
            session.check("gpu-sched", "--mode", "asleep", timeout=60)
            assert session.struck("event-late") > before, "no event was late"
        session.job("store", timeout=60, retries=2)
