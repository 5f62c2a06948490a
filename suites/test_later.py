# SPDX-License-Identifier: GPL-2.0-or-later
"""What drivers have learnt since panthor 1.0: clocks, names and caches of buffers, ranges without one, accounts of what
a file uses. A driver that is older than that is not asked (docs/guest.md).
"""

from __future__ import annotations

import pytest

from panthorlab.run.faults import STORE_FAULTS, must_have_faulted
from panthorlab.run.session import ProgramResult, Session

pytestmark = [pytest.mark.driver("csif", "vm", "groups")]


def check(session: Session, mode: str) -> ProgramResult:
    """`gpu-later --mode MODE`; skips the test if the driver has not what it is about."""
    result = session.check("gpu-later", "--mode", mode)
    if skipped := [line for line in result.report.lines if "# SKIP" in line]:
        pytest.skip(skipped[0].partition("# SKIP")[2].strip())
    return result


@pytest.mark.parametrize("mode", ["timestamp", "timestamp-flags"])
def test_clock_of_the_gpu(session: Session, mode: str) -> None:
    """Also of one that sleeps: the driver wakes it."""
    check(session, mode)


def test_names_of_buffers(session: Session) -> None:
    check(session, "label")


def test_place_of_the_flush_id(session: Session) -> None:
    check(session, "mmio-offset")


def test_what_buffers_are(session: Session) -> None:
    check(session, "bo-info")


def test_caches_of_the_cpu(session: Session) -> None:
    """What is refused, and what must not be lost. That something is left behind in a cache only a real board shows."""
    check(session, "bo-sync")


def test_protocol_in_use(session: Session) -> None:
    check(session, "coherency")


def test_page_sizes(session: Session) -> None:
    check(session, "mmu-info")


def test_ranges_without_a_buffer(session: Session) -> None:
    check(session, "sparse")


def test_ranges_without_a_buffer_end(session: Session) -> None:
    """Each store through an address that is no longer in such a range faults at that address, and no other one does."""
    with session.findings_expected(STORE_FAULTS) as found:
        info = check(session, "sparse-holes").info
    must_have_faulted(info, found(), alone=True)


def test_buffers_as_files(session: Session) -> None:
    check(session, "prime")


def test_accounts_of_jobs(session: Session) -> None:
    """Time and cycles of a file's jobs in fdinfo, when `profiling` in sysfs asks for them."""
    check(session, "usage")


def test_accounts_of_memory(session: Session) -> None:
    check(session, "memory")


def test_jobs_still_work(session: Session) -> None:
    session.job("store")


@pytest.mark.driver("power")
def test_no_call_keeps_the_gpu_awake(session: Session) -> None:
    """Neither one that was answered nor one that was refused."""
    session.job("suspend-loop", "--count", "1")
