# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that fails once: the driver notices, says so, recovers, and works on without another word."""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

# A warning, too: 7.3 has drm_WARN_ON(panthor_mmu_as_disable()) on the way that a lost flush takes.
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "warning"}


@pytest.mark.parametrize(("rule", "kind"), [
    ("flush-lost", "power-error"),
    ("state-lost,state=suspend", "firmware-error"),
])
def test_one_failure_is_recovered_from(session: Session, rule: str, kind: str) -> None:
    with session.misbehaving(rule), session.findings_expected(TROUBLE) as found:
        for _ in range(3):
            session.job("suspend-loop", "--count", "3", timeout=60, must_pass=False)
            if found():
                break
        told = {finding.kind.value for finding in found()}
        session.job("store", timeout=60, retries=3)  # the GPU works again, though a reset may still be under way
    assert kind in told, f"the driver said nothing of {rule}: {sorted(told)}"
    session.job("suspend-loop", "--count", "3", timeout=60)
