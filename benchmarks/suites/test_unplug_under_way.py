# SPDX-License-Identifier: GPL-2.0-or-later
"""panthor is taken off a GPU on which jobs are under way: they end then, not at their time-outs, or never. Not among
the suites yet: on 6.12.117 a job whose group is on the GPU never ends (docs/findings/0037)."""

from __future__ import annotations

from typing import Final

import pytest

from panthorlab.run.session import Session

TIMEOUT: Final = 5.0
"""Seconds after which the driver gives a job up."""


@pytest.mark.gpu("count=2")
def test_who_waits_for_them_goes_on(session: Session) -> None:
    """A job of the other GPU waits for one, and has no time-out before it has begun."""
    session.check("gpu-pair", "--mode", "fence-lost", timeout=60)
    for gpu, left in session.holdings.of_each().items():
        assert not left, f"the driver still holds {left} on {gpu}"


def test_none_is_left_to_time_out(session: Session) -> None:
    """Of processes that are killed before, or after, the driver is back; one of them spins."""
    session.check("gpu-bind", "--mode", "busy", "--count", "4", timeout=120)
    session.board.time.sleep(TIMEOUT + 1)  # what were to be given up has been, and told
    session.job("store")
