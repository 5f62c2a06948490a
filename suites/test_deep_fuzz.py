# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of panthor's calls, and of GPU misdeeds where the board can: the run's --seed chooses them, so that
both sides of a comparison get the same. `panthorlab fuzz` goes on for as long as one likes, and makes finds short."""

from __future__ import annotations

import pytest

from panthorlab.fuzz.generate import generate
from panthorlab.fuzz.script import write
from panthorlab.run.fuzz import must_be_borne
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups", "heaps"), pytest.mark.deep]

SCRIPTS = 60
PARTS = 2


@pytest.mark.parametrize("part", range(PARTS))
def test_random_calls(session: Session, part: int) -> None:
    """Without misdeeds: what the GPU says is what the driver hears."""
    _walk(session, part, frozenset())


@pytest.mark.parametrize("part", range(PARTS))
def test_random_calls_and_misdeeds(session: Session, part: int) -> None:
    if not session.board.injections:
        pytest.skip("the GPU of this board cannot do wrong on purpose")
    _walk(session, part, session.board.injections)


@pytest.mark.kernel("swap")
def test_random_calls_while_memory_is_let_go(session: Session) -> None:
    """`evict` does nothing in the other tests, for lack of swap; fewer, since such a kernel often has detectors, and a
    script takes two to three seconds there."""
    _walk(session, 2 * PARTS, frozenset(), SCRIPTS // 5)


def _walk(session: Session, part: int, misdeeds: frozenset[str], count: int = SCRIPTS) -> None:
    for number in range(part * SCRIPTS, part * SCRIPTS + count):
        seed = f"{session.job_description.seed}:{number}"
        must_be_borne(session, write(generate(seed, misdeeds)))
