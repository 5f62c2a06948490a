# SPDX-License-Identifier: GPL-2.0-or-later
"""panthor is taken off a busy GPU ahead of the kernel's workers. Not among the suites yet: 6.12.117 oopses
(docs/findings/0013). The place of the oops tells the bugs apart."""

from __future__ import annotations

from panthorlab.run.session import Session


def test_workers_come_too_late(session: Session) -> None:
    with session.findings_expected({"job-timeout"}):
        session.check("gpu-bind", "--mode", "ahead", "--count", "20", timeout=120)
        session.job("spin", timeout=40)
