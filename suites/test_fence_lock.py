# SPDX-License-Identifier: GPL-2.0-or-later
"""A fence's lock is safe for interrupts: whoever has the fence may take it in one, and lockdep knows who does not care.

What panthor signs for with dma_fence_init() no machine of ours ever does, so the emulated GPU's shim does it.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.kernel("prove-locking"), pytest.mark.board("emulated")]


def test_fence_may_be_asked_for_its_status_in_an_interrupt(session: Session) -> None:
    session.check("gpu-job", "--mode", "fence-irq")
    session.job("store")
