# SPDX-License-Identifier: GPL-2.0-or-later
"""How a boot ended: not well, if it was not the run that was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from panthorlab.board.api import RunDigest
from panthorlab.errors import EvidenceError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.bootend import check_asked, end_by

OVERRIDE = "1/irq job/3=112.500"
ASKED = {"exact.override": OVERRIDE}


@pytest.mark.parametrize(
    ("params", "digest", "says"),
    [(ASKED, RunDigest("d", 1, "0", OVERRIDE), "no such event came"), (ASKED, None, "does not live in exact time")],
)
def test_an_override_that_was_never_reached_is_an_error_and_not_tried_again(
    params: Mapping[str, str], digest: RunDigest | None, says: str
) -> None:
    with pytest.raises(EvidenceError, match=f"the override of {OVERRIDE} was never reached: .*{says}") as caught:
        check_asked(params, digest)
    end = end_by(caught.value, booted=True)
    assert (end.outcome, end.blame, end.final, end.complete) == (Outcome.ERROR, Blame.LAB, True, False)


def test_what_ran_as_it_was_asked_for_is_good() -> None:
    check_asked(ASKED, RunDigest("d", 1, "0"))
    check_asked({}, RunDigest("d", 1, "0"))
    check_asked({}, None)
