# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware does not boot when the GPU wakes up, not even in the slow reset behind it; the next time it does.

Not among the suites yet: on 7.x no group can be made any more (docs/findings/0071).
"""

from __future__ import annotations

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES


def test_next_process_makes_its_group(session: Session) -> None:
    with session.findings_expected({*CONSEQUENCES, "warning"}):
        with session.misbehaving("boot-lost,times=2"):
            before = session.struck("boot-lost")
            session.job("suspend-loop", "--count", "2", timeout=60, must_pass=False)
            assert session.struck("boot-lost") > before, "the firmware had no occasion to boot"
        report = session.job("store", timeout=60, must_pass=False).report
    refused = [line for line in report.lines if "GROUP_CREATE" in line]
    assert not refused, "\n".join(refused)
