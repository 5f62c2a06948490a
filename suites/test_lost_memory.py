# SPDX-License-Identifier: GPL-2.0-or-later
"""No memory is lost: kmemleak looks for what nothing points to any more, be it a single small object.

Where other suites count (leaks, uapi), a loss must be large to be seen; here once is enough. Kmemleak is asked once, at
the end: to tell anything it goes through all memory four times, which beside other detectors takes half a minute, and
what it tells says who made what was lost.
"""

from __future__ import annotations

import pytest

from panthorlab.run.memleak import expect_nothing_lost
from panthorlab.run.session import Session
from panthorlab.run.trouble import KILLED, LEFT_AT_UNPLUG, RESIDUAL

pytestmark = pytest.mark.kernel("kmemleak")
HUNGRY = "tiler-chunk,times=0"
SLOW = {"heap-error", "job-timeout", *KILLED}
"""What is said of clients in a hurry where KASAN makes a heap's next chunk take seconds."""
STUCK = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "mmu-fault", "cs-fault", "cs-fatal", "warning"}


def test_calls_and_heaps(session: Session) -> None:
    with session.findings_expected(LEFT_AT_UNPLUG):
        with session.misbehaving(HUNGRY), session.findings_expected(RESIDUAL):
            session.check("gpu-heap", "--mode", "walk", timeout=60)
        session.check("gpu-uapi", "--mode", "arguments")
        session.check("gpu-vm", "--mode", "random", "--seed", "1", "--count", "80", timeout=60)


def test_clients_that_fail(session: Session) -> None:
    """Jobs that break off, heaps that cannot grow: what was held for them is given back, too."""
    with session.misbehaving(HUNGRY), session.findings_expected({"heap-error", *STUCK}):
        for mode in ("no-pool", "wrong"):
            session.check("gpu-heap", "--mode", mode, timeout=60)
        for mode in ("bad-instr", "bad-store", "bad-fetch"):
            session.job(mode, timeout=60)


def test_rounds(session: Session) -> None:
    """Of each kind of making and destroying."""
    with session.misbehaving(HUNGRY), session.findings_expected(SLOW):
        session.check("gpu-leak", "--lenient", timeout=120)


def test_failed_maps(session: Session) -> None:
    """Each map that fails because the MMU does not answer gives back what was made for it."""
    failed = 0
    with session.findings_expected(STUCK):
        for _ in range(2):
            with session.misbehaving("as-stuck,nth=20,ms=60000,space=user"):
                failed += int(session.check("gpu-vm", "--mode", "stuck", timeout=60).info["failed"])
            session.job("store", timeout=60, retries=3)
    assert failed, "no map failed"


def test_nothing_is_lost(session: Session) -> None:
    """By the tests above, and by whatever ran before in this boot: this suite comes last."""
    with session.findings_expected(LEFT_AT_UNPLUG):
        expect_nothing_lost(session)
