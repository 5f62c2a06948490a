# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware does not say once that it has booted when the GPU wakes up.

Not among the suites yet: 6.18 and 7.x give up (docs/findings/0012).
"""

from __future__ import annotations

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES


def test_slow_reset_succeeds(session: Session) -> None:
    with session.findings_expected(CONSEQUENCES), session.misbehaving("boot-lost"):
        before = session.struck("boot-lost")
        session.job("suspend-loop", "--count", "3", timeout=60)
        assert session.struck("boot-lost") > before, "every boot was told"
