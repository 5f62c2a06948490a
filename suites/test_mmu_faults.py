# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults in one address space after the other, on a GPU that does not sleep in between: each is reported."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups")
FAULTS = {"mmu-fault", "cs-fault", "cs-fatal"}
DELAY = "/sys/bus/platform/devices/{device}/power/autosuspend_delay_ms"


def test_every_fault_is_reported(session: Session) -> None:
    shell = session.board.shell
    device = shell.run([f"{session.board.work_dir}/handover", "bound"], timeout=10).stdout.decode().split()[0]
    path = DELAY.format(device=device)
    usual = shell.get(path)
    shell.put(b"10000", path)
    try:
        for number in range(3):
            with session.findings_expected(FAULTS) as found:
                session.job("bad-store")
            assert "mmu-fault" in {finding.kind for finding in found()}, f"fault {number + 1} was not reported"
    finally:
        shell.put(usual, path)
