# SPDX-License-Identifier: GPL-2.0-or-later
"""Vulkan clients that compute, on Debian's own Mesa unchanged: ggml's test of its operators, and vk-compute
(dispatches, indirect ones, barriers, events, timelines): alone, killed, more than the GPU has slots, and beside a GPU
that misbehaves.

Needs `--overlay mesa-compute`. An emulated GPU computes nothing: what counts is that the work was done, and in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from panthorlab.outcome import Role
from panthorlab.run.clients import (
    COMPUTE,
    GGML_TEST,
    NO_NUMBERS,
    SYNC,
    TIMEOUT,
    client,
    crowd,
    require_vulkan,
    striking,
)
from panthorlab.run.session import Iterated, Session
from panthorlab.run.workload import Workload

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("mesa-compute")]

FOR_EVER: Final = (COMPUTE, "--rounds", "1000000")
# Work of the compute endpoint alone is counted by it: without any nothing was tried.
COMPUTES: Final = "work-late,endpoint=compute,ms=1,times=0"
TROUBLE: Final = {"firmware-error", "gpu-reset", "job-timeout", "warning", "cs-fault", "cs-fatal", "mmu-fault"}
GGML_ADDS: Final = (GGML_TEST, "test", "-b", "Vulkan0", "-o", "ADD", "-p", r"type=f32,ne=\[10,5,4,3\],nr=\[1,1,1,1\]")


@pytest.fixture(autouse=True, scope="module")
def vulkan(session: Session) -> None:
    require_vulkan(session, NO_NUMBERS)


def test_dispatches_events_and_timelines(session: Session) -> None:
    if not session.board.injections:  # a real board, which computes
        client(session, COMPUTE, "--rounds", "100", "--computed", name="compute/rounds")
        return
    with striking(session, COMPUTES):
        client(session, COMPUTE, "--rounds", "100", name="compute/rounds", env=SYNC)


def test_operators_of_ggml(session: Session) -> None:
    """An emulated GPU adds nothing, which ggml notices: so it has waited for the work, and looked at the memory."""
    if not session.board.injections:
        client(session, *GGML_ADDS, name="compute/ggml")
        return
    with striking(session, COMPUTES):
        result = session.program(*GGML_ADDS, timeout=TIMEOUT, name="compute/ggml", env=SYNC)
    text = "\n".join(result.report.lines)
    assert "[ADD] ERR" in text, f"ggml compared nothing\n{text}"
    assert "tests passed" in text, f"ggml did not come to its end\n{text}"


def kill(session: Session, name: str) -> None:
    """One at a time, killed with SIGKILL at a random moment in its work; the next one works."""
    crowd(session, "--count", "20", "--open", "2", "--kill-ms", "0:400", "--", *FOR_EVER, name=f"compute/{name}")
    client(session, COMPUTE, name=f"compute/after-{name}", env=SYNC)


def test_killed(session: Session) -> None:
    kill(session, "killed")


@pytest.mark.gpu("writeout.delay_ms=20")
def test_killed_while_the_heap_is_written_out(session: Session) -> None:
    """Without the fix 15 of 20 deaths fault then; with the 5 ms of other tests these clients show nothing."""
    kill(session, "killed-slow-writeout")


def test_more_clients_than_slots_and_address_spaces(session: Session) -> None:
    argv = ("--count", "16", "--at-once", "16", "--together", "12", "--", COMPUTE, "--rounds", "200")
    crowd(session, *argv, name="compute/crowd", env=SYNC)


# Fixed kernels may fault here, too: several clients at once are the residual of the fix (docs/evidence.md).
CROWD_KILLED = Workload(
    "compute/crowd-killed",
    ("crowd", "--count", "24", "--at-once", "12", "--open", "2", "--kill-ms", "0:1500", "--", *FOR_EVER),
    Role.WATCH,
    iterations=3,
    deadline=120.0,
)


def test_a_crowd_is_killed(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(CROWD_KILLED).expect_clean()


@pytest.mark.parametrize(
    "rule",
    [
        "work-late,endpoint=compute,ms=20,chance=0.05",
        "irq-late,line=job,ms=5,chance=0.2",
        "event-late,event=sync-update,ms=5,chance=0.2",
        "state-late,state=suspend,ms=20",
    ],
)
def test_what_is_only_late_is_not_noticed(session: Session, rule: str) -> None:
    """Hardware may be this slow: no client sees anything of it, and the kernel says nothing."""
    with striking(session, f"{rule},times=0"):
        argv = ("--count", "10", "--at-once", "10", "--", COMPUTE, "--rounds", "30")
        crowd(session, *argv, name=f"compute/{rule.partition(',')[0]}", env=SYNC)


@pytest.mark.parametrize("rule", ["cs-fault", "cs-fatal", "mmu-fault,requester=lsu"])
def test_the_next_client_works_after(session: Session, rule: str) -> None:
    """A fault in the middle of a client: that one may lose its device, the kernel must not lose its GPU."""
    name = rule.partition(",")[0]
    with striking(session, f"{rule},nth=5"), session.findings_expected(TROUBLE):
        argv = ("crowd", "--count", "9", "--at-once", "9", "--", COMPUTE, "--rounds", "30")
        session.program(*argv, timeout=TIMEOUT, name=f"compute/{name}")
        session.job("store", timeout=60, retries=3)  # a reset may still be under way
    client(session, COMPUTE, name=f"compute/after-{name}", env=SYNC)
