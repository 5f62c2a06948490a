# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU still works after the heap fault (or after none): "quite harmless", says the patch; this proves it."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups", "heaps")


def test_next_process_works_after_abrupt_exit(session: Session) -> None:
    with session.findings_allowed({"mmu-fault"}) as found:
        for _ in range(10):
            session.program("heap-exit", "--mode", "exit")
            session.job("store")
    harm = [finding for finding in found() if finding.kind != "mmu-fault"]
    assert not harm, "\n".join(finding.text for finding in harm)


def test_many_jobs_after_abrupt_exit(session: Session) -> None:
    with session.findings_allowed({"mmu-fault"}):
        session.program("heap-exit", "--mode", "destroy")
        session.job("stores", "--count", "100")
