# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts that come again as soon as they are cleared, with nothing new to them: work goes on.

A storm ends by itself after so many.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups", "power", "recovery")]
TIMES = 100
"""Interrupts of a storm that ends by itself."""


@pytest.mark.parametrize("ms", ["0", "1"], ids=["at once", "after 1 ms"])
@pytest.mark.parametrize("line", ["job", "gpu"])
def test_work_goes_on(session: Session, line: str, ms: str) -> None:
    """Those of the firmware say that something has happened to a group; those of the GPU, that a flush has ended."""
    with session.misbehaving(f"irq-storm,line={line},ms={ms},times={TIMES}"):
        before = session.struck("irq-storm")
        session.job("suspend-loop", "--count", "2", timeout=60)
        assert session.struck("irq-storm") > before, "no storm"
    session.job("suspend-loop", "--count", "1", timeout=60)


def test_faults_that_come_again(session: Session) -> None:
    """Of an address space that has faulted: its job ends, others work."""
    with session.findings_expected({"mmu-fault", "cs-fault", "cs-fatal"}) as found:
        with session.misbehaving("irq-storm,line=mmu,ms=0,times=20"):
            before = session.struck("irq-storm")
            session.job("bad-store", timeout=60, must_pass=False)
            assert session.struck("irq-storm") > before, "no fault was told again"
        assert any(finding.kind == "mmu-fault" for finding in found()), "the driver told of no fault"
    session.job("suspend-loop", "--count", "1", timeout=60)
