# SPDX-License-Identifier: GPL-2.0-or-later
"""A handle is used by one thread while another one destroys what it stands for.

The calls are interrupted by a thread of higher priority on the same CPU (docs/guest.md, gpu-race). What went wrong then
the program sees by what the calls return, or the kernel's count of references, or KASAN.
"""

from __future__ import annotations

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.session import Session

LATE_START = "state-late,state=start,ms=20,times=0"
TOO_LATE = {"job-timeout", "firmware-error", "gpu-reset"}
"""What the driver says of that on a busy machine."""

HEAP_WITHOUT_VM = "warning:panthor:drm_warn_on-vm:panthor_kernel_bo_create>panthor_alloc_heap_chunk"
"""Of a heap that is then refused: kernels from 6.18 on (docs/findings/0039)."""


def race(session: Session, mode: str, *arguments: str) -> None:
    """`gpu-race --mode MODE`; a machine on which no call was interrupted where it matters has shown nothing."""
    result = session.check("gpu-race", "--mode", mode, *arguments, timeout=90)
    if "skipped" in result.info:
        pytest.skip(f"there is nothing to race for: {result.info['skipped']}")
    if int(result.info["struck"]) == 0:
        raise EvidenceError("\n".join(["no call was interrupted where it matters", *result.report.lines]))


@pytest.mark.parametrize("mode", ["group", "vm"])
def test_object_is_destroyed_while_it_is_looked_up(session: Session, mode: str) -> None:
    race(session, mode)


def test_group_that_is_half_made_is_not_destroyed(session: Session) -> None:
    """The GPU says late that groups have started: meanwhile others stay half made."""
    with session.misbehaving(LATE_START), session.findings_expected(TOO_LATE):
        race(session, "create")


def test_buffer_is_closed_before_its_handle_is_returned(session: Session) -> None:
    """Whoever has made it must not use it any more then, or a list has no end after that."""
    race(session, "bo")


def test_no_heap_is_made_in_a_vm_that_is_gone(session: Session) -> None:
    """Its pool of heaps goes with it, also for a call that has found it before: that is refused."""
    with session.findings_expected({"warning"}) as found:
        race(session, "heap")
    other = [finding.text for finding in found() if not finding.signature.startswith(HEAP_WITHOUT_VM)]
    assert not other, "\n".join(other)


def test_label_that_was_there_is_freed_once(session: Session) -> None:
    """Of two calls that give a buffer a label each may free what it has put another one in the place of."""
    race(session, "label")


@pytest.mark.deep
def test_handle_given_anew_is_not_destroyed_by_an_older_call(session: Session) -> None:
    """The window is of some thirty instructions: the calls of a round are stopped all around it."""
    if session.has_config("CONFIG_KASAN"):
        pytest.skip("a round takes a debug kernel longer than the GPU may be late with a group")
    with session.misbehaving(LATE_START), session.findings_expected(TOO_LATE):
        race(session, "reuse", "--count", "20", "--limit-ms", "50000")
