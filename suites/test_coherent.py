# SPDX-License-Identifier: GPL-2.0-or-later
"""The board describes its GPU as coherent with the CPU's caches: the driver finds out whether the GPU can be, tells it
the protocol before its L2 cache has power (the emulated one says so if it is another), and works as on any other board.

That something is read from a cache where it should not be, only a real board shows.
"""

from __future__ import annotations

import os

import pytest

from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, LEFT_AT_UNPLUG, probe, rebind

pytestmark = [
    pytest.mark.deep,
    pytest.mark.gpu("coherency=ace-lite"),
    pytest.mark.driver("vm", "groups", "heaps", "power", "recovery"),
]
ACE_LITE = 0
REFUSES = b"Coherency not supported by the device"
ENOTSUPP = 524
"""The kernel's own, which errno.h has not."""


def test_protocol_is_told(session: Session) -> None:
    assert int(session.gpu_info()["coherency_features"], 16) == 1 << ACE_LITE
    result = session.check("gpu-later", "--mode", "coherency")
    if "selected_coherency" not in result.info:
        pytest.skip("this driver does not tell which protocol it has chosen")
    assert int(result.info["selected_coherency"]) == ACE_LITE


@pytest.mark.parametrize("mode", ["bo-sync", "prime", "memory"])
def test_buffers(session: Session, mode: str) -> None:
    session.check("gpu-later", "--mode", mode)


def test_work_and_sleep(session: Session) -> None:
    session.job("store")
    session.job("sync-wait")
    session.job("suspend-loop", "--count", "3", timeout=60)
    session.check("gpu-heap", "--mode", "walk")


def test_reset(session: Session) -> None:
    """What was chosen must have been chosen again when the L2 cache has power again."""
    with session.findings_expected({"cs-fatal", *CONSEQUENCES}), session.misbehaving("cs-fatal,exception=0x41"):
        before = session.struck("cs-fatal")
        session.job("store", timeout=60, must_pass=False)
        assert session.struck("cs-fatal") > before, "no stream broke off"
    session.job("store", timeout=60, retries=3)
    session.job("suspend-loop", "--count", "1", timeout=60)


def test_gpu_that_cannot_be(session: Session) -> None:
    """The driver is put on a GPU that is described as coherent, and says that it is not: it is refused, and keeps
    nothing, not even power."""
    if not session.driver_contains(REFUSES):
        pytest.skip("this driver does not ask the GPU")
    with session.findings_expected({"probe-error", *LEFT_AT_UNPLUG}) as found:
        try:
            with session.misbehaving("coherency-lost,times=0"):
                before = session.struck("coherency-lost")
                errno = -probe(session)
                assert session.struck("coherency-lost") > before, "the GPU was not asked"
        finally:
            rebind(session)
    assert errno == ENOTSUPP, os.strerror(errno) if errno else "the driver did not notice"
    assert found(), "the probe failed, and nothing was said"
