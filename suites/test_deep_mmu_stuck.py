# SPDX-License-Identifier: GPL-2.0-or-later
"""An MMU command that never ends while kernel objects come and go: a reset, and on; nothing is freed twice.

Warnings are allowed, and a VM that is lost: 6.12.117 leaves page tables and the table of mappings at odds when a flush
fails (docs/findings/0003-stuck-mmu-page-tables.md, and benchmarks/suites/test_stuck_mmu_leak.py). An oops is not.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [
    pytest.mark.driver("vm", "groups", "recovery"),
    pytest.mark.deep,
    pytest.mark.leaves("docs/findings/0003: 6.12.117 loses a VM when a flush fails"),
]
COMMANDS, ENOUGH = range(41, 49), 2
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "mmu-fault", "cs-fault", "warning"}


# Until the reset: the driver counts its looks at the register, 10 us apart in theory, a hundred on the emulated board.
def test_heap_goes_while_the_mmu_is_stuck(session: Session) -> None:
    """Not each command is one that the driver waits for: one of the next ones is, where another is not."""
    noticed = 0
    for nth in COMMANDS:
        with session.misbehaving(f"as-stuck,nth={nth},ms=60000"), session.findings_expected(TROUBLE) as found:
            session.program("gpu-heap", "--mode", "churn", timeout=60)
            session.job("store", timeout=60, retries=3)
        noticed += "power-error" in {finding.kind for finding in found()}
        if noticed == ENOUGH:
            return
    pytest.fail(f"of {len(COMMANDS)} commands with which its MMU was stuck the driver noticed {noticed}")
