# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache flush is lost, and the GPU takes its time for the reset that comes of it, while a process unmaps.

Not among the suites yet: 7.3.4 leaves what it has locked to the next address space (docs/findings/0036).
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES

SLOW = "reset-late,ms=20,times=0"


@pytest.mark.parametrize("nth", range(1, 25))
def test_next_process_works(session: Session, nth: int) -> None:
    """Whichever flush it is."""
    with session.findings_expected({*CONSEQUENCES, "warning"}), session.misbehaving(f"flush-lost,nth={nth}", SLOW):
        before = session.struck("flush-lost")
        session.job("store", timeout=60, must_pass=False)
        lost = session.struck("flush-lost") > before
    if not lost:
        pytest.skip(f"the job ended before flush {nth}")
    with session.findings_expected({"power-error", "warning"}):
        session.job("store", timeout=60)
