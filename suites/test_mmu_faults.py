# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults in one address space after the other, on a GPU that does not sleep in between: each is reported."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import awake

pytestmark = pytest.mark.driver("vm", "groups")
FAULTS = {"mmu-fault", "cs-fault", "cs-fatal"}


def test_every_fault_is_reported(session: Session) -> None:
    with awake(session):
        for number in range(3):
            with session.findings_expected(FAULTS) as found:
                session.job("bad-store")
            assert "mmu-fault" in {finding.kind for finding in found()}, f"fault {number + 1} was not reported"
