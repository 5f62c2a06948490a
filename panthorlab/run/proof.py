# SPDX-License-Identifier: GPL-2.0-or-later
"""Prove that a boot whose workloads left no fault would have told of one: an oracle may be deaf.

A driver that loses its MMU interrupt has no faults at all in its log, and every count of them is good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from panthorlab.errors import EvidenceError, PanthorlabError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import OfBoot, Tested
from panthorlab.run.testevents import outcome_of

if TYPE_CHECKING:
    from panthorlab.run.session import Session

HEARD: Final = "faults_are_heard"
"""Name of the test in which a fault that must come proves that those which did not come were not merely unheard."""
PROVED: Final = "mmu-fault"
"""The kind of which that is proved; a suite whose workloads do not look for it needs no such proof."""
MADE: Final = frozenset({PROVED, "cs-fault", "cs-fatal"})


def prove_heard(session: Session) -> None:
    """Make a GPU fault on purpose; the kernel must tell of it. Raises AssertionError if it does not, EvidenceError if
    the board was in trouble meanwhile."""
    began = session.board.time.now()
    with session.findings_expected(set(MADE)) as found:
        session.job("bad-store", must_pass=False)
    if any(finding.kind == PROVED for finding in found()):
        return
    if hazards := [hazard for hazard in session.board.hazards() if hazard.time >= began]:
        raise EvidenceError(f"whether GPU faults are heard is not known: {hazards[0].kind}: {hazards[0].text}")
    raise AssertionError(
        "a store to an address that is not mapped was not reported as a GPU fault: on this kernel, counts of such "
        "faults prove nothing"
    )


@contextmanager
def recorded_as_test(emit: Callable[[OfBoot], None], suite: str, test: str, *, proof: bool = True) -> Iterator[None]:
    """What is done within is a test of its own. `proof`: the counts of its suite rest on it."""
    start, message = time.monotonic(), ""
    outcome: Outcome = Outcome.PASS
    blame: Blame | None = None
    try:
        yield
    except (AssertionError, PanthorlabError) as error:
        outcome, blame = outcome_of(error)
        message = str(error)[:4000]
        raise
    finally:
        emit(
            Tested(
                suite=suite,
                test=test,
                outcome=outcome,
                blame=blame,
                message=message,
                proof=proof,
                seconds=round(time.monotonic() - start, 3),
            )
        )
