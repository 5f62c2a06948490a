# SPDX-License-Identifier: GPL-2.0-or-later
"""A GPU that fails once: the driver notices, says so, recovers, and works on without another word.

`test_deep_gpu_trouble.py` has the other ways in which it can fail.
"""

from __future__ import annotations

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import Trouble, provoke

pytestmark = pytest.mark.driver("vm", "groups", "power", "recovery")
FIRMWARE = frozenset({"firmware-error"})
# 7.3 has drm_WARN_ON(panthor_mmu_as_disable()) on the way that a lost flush takes.
FLUSH = Trouble(("flush-lost",), frozenset({"power-error"}), also=frozenset({"warning"}))
ONCE = (
    FLUSH,
    Trouble(("state-lost,state=suspend",), FIRMWARE),
    # MCU_CONTROL that stays on over a reset starts the firmware before the driver is ready
    Trouble(("mcu-survives-reset,times=0",)),
)


@pytest.mark.parametrize("trouble", ONCE, ids=str)
def test_one_failure_is_recovered_from(session: Session, trouble: Trouble) -> None:
    provoke(session, trouble)


def test_slow_reset(session: Session) -> None:
    """The firmware does not boot when the GPU wakes up: it is stopped, its caches flushed, loaded again and started.

    Without the flush what it wrote before comes back over what was loaded."""
    if not session.driver_contains(b"FW fast reset failed, trying a slow reset"):
        pytest.skip("this driver gives the GPU up if its firmware does not boot when it wakes up")
    provoke(session, Trouble(("boot-lost", "cache-kept"), FIRMWARE))
