# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/findings/0003-stuck-mmu-page-tables.md: after an MMU command that never ends, 6.12.117 loses the VM for good."""

from __future__ import annotations

from panthorlab.run.session import Session

TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "mmu-fault", "cs-fault", "warning"}


def test_vm_is_given_back_though_its_mmu_was_stuck(session: Session, nothing_left: None) -> None:
    with session.misbehaving("as-stuck,nth=41,ms=60000"), session.findings_expected(TROUBLE):
        session.program("gpu-heap", "--mode", "churn", timeout=60)
        session.job("store", timeout=60, retries=3)
