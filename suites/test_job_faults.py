# SPDX-License-Identifier: GPL-2.0-or-later
"""A job's fault stays in its process: the right error there, no reset, and the next process's job works."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = pytest.mark.driver("vm", "groups")
RESETS = {"gpu-reset", "firmware-error", "power-error", "oops", "panic", "hung-task"}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("bad-fetch", {"mmu-fault", "cs-fatal"}), ("bad-store", {"mmu-fault"}), ("bad-instr", {"cs-fatal"})],
)
def test_fault_stays_in_its_process(session: Session, mode: str, expected: set[str]) -> None:
    with session.findings_expected(expected | {"cs-fault", "cs-fatal"}) as found:
        session.job(mode)
        session.job("store")
    assert expected <= {finding.kind for finding in found()}, f"the kernel did not report {expected}"
    assert not RESETS & {finding.kind for finding in found()}
