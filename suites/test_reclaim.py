# SPDX-License-Identifier: GPL-2.0-or-later
"""Buffers that the driver lets go of, as when memory is short: what was in them is there when they are used again.

Debugfs has the driver do so at once (file `shrink`), if there is swap; panthor of 6.x and 7.0 cannot.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.faults import STORE_FAULTS, must_have_faulted
from panthorlab.run.session import Session
from panthorlab.run.trouble import RESIDUAL

pytestmark = [pytest.mark.driver("vm", "groups"), pytest.mark.kernel("swap")]


def evict(session: Session, mode: str, *arguments: str) -> Mapping[str, str]:
    info = session.check("gpu-evict", "--mode", mode, *arguments, timeout=60).info
    if info["can"] == "0":
        pytest.skip("this driver cannot let go of buffers")
    return info


def proved(info: Mapping[str, str]) -> None:
    if info["gone"] == "0":
        raise EvidenceError("the driver let go of nothing meanwhile")


def test_what_was_let_go_is_there_when_it_is_used(session: Session) -> None:
    evict(session, "cases")


def test_what_may_not_be_written_is_not_written_afterwards(session: Session) -> None:
    with session.findings_expected(STORE_FAULTS) as found:
        info = evict(session, "protection")
    must_have_faulted(info, found())


def sparse(session: Session, mode: str, *arguments: str) -> Mapping[str, str]:
    info = evict(session, mode, *arguments)
    if info["sparse"] == "0":
        pytest.skip("this driver has no ranges without a buffer")
    proved(info)
    return info


def test_ranges_without_a_buffer_lose_what_is_behind_them(session: Session) -> None:
    """Beside, over and below buffers, cut into pieces meanwhile; what was unmapped faults, and nothing else does."""
    with session.findings_expected(STORE_FAULTS) as found:
        info = sparse(session, "sparse", "--seed", "1", "--count", "24")
    must_have_faulted(info, found(), alone=True)


def test_ranges_without_a_buffer_come_and_go_while_memory_is_let_go(session: Session) -> None:
    sparse(session, "sparse-race", "--seed", "2", "--count", "30")


def test_jobs_run_while_memory_is_let_go(session: Session) -> None:
    """Fewer on a kernel with KASAN, where each takes a third of a second."""
    proved(evict(session, "race", "--count", "20" if session.has_config("CONFIG_KASAN") else "60"))


def test_memory_is_mapped_and_unmapped_while_it_is_let_go(session: Session) -> None:
    proved(evict(session, "binds", "--seed", "1", "--count", "60"))


def test_heaps_render_after_they_were_let_go(session: Session) -> None:
    with session.misbehaving("tiler-chunk,times=0"), session.findings_expected(RESIDUAL):
        proved(evict(session, "heap", "--count", "5"))
