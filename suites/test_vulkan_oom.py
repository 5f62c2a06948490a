# SPDX-License-Identifier: GPL-2.0-or-later
"""Vulkan clients whose tiler heap runs full: the driver is asked for a chunk, and where Mesa's heap has its 64 it must
refuse; then Mesa's exception handler renders what there is and frees chunks.

Needs `--overlay mesa-vulkan`, and an emulated GPU whose jobs take chunks. Where one takes 70, the first frame of a
client takes all 59 chunks that its heap may still get. Each costs the driver 5 to 40 ms on an emulated board, for it
clears 2 MiB; so only one such client runs at once: ten would need more than the 5 s that the driver gives a job.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.outcome import Role
from panthorlab.run.clients import INFO, SYNC, VKMARK, client, crowd, require_vulkan, striking
from panthorlab.run.session import Iterated, Session
from panthorlab.run.workload import Workload

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("mesa-vulkan")]

FOR_EVER = (*VKMARK, "-b", "cube:duration=3600")
# Every request for memory is counted, and comes a little late.
ASKED = "event-late,event=tiler-oom,ms=1,times=0"
TOO_MANY = pytest.mark.gpu("tiler.chunks_per_job=70")
A_FEW = pytest.mark.gpu("tiler.chunks_per_job=2")


@pytest.fixture(autouse=True, scope="module")
def vulkan(session: Session) -> None:
    require_vulkan(session)


@TOO_MANY
@pytest.mark.parametrize("scene", ["clear", "cube", "desktop"])
def test_memory_is_refused(session: Session, scene: str) -> None:
    with striking(session, ASKED):
        client(session, *VKMARK, "-b", f"{scene}:duration=1", name=f"vulkan-oom/{scene}", env=SYNC)


@TOO_MANY
def test_killed(session: Session) -> None:
    with striking(session, ASKED):
        crowd(
            session, "--count", "12", "--open", "2", "--kill-ms", "100:900", "--", *FOR_EVER, name="vulkan-oom/killed"
        )
    client(session, INFO, name="vulkan-oom/after-killed", env=SYNC)


@A_FEW
def test_more_clients_than_slots_ask(session: Session) -> None:
    """Every third chunk has to be asked for, by ten clients at once, while slots change hands."""
    with striking(session, "tiler-oom,chance=0.3,times=0"):
        crowd(
            session,
            "--count",
            "10",
            "--at-once",
            "10",
            "--together",
            "9",
            "--",
            *VKMARK,
            "-b",
            "cube:duration=3",
            name="vulkan-oom/crowd",
            env=SYNC,
        )


CROWD_KILLED = Workload(
    "vulkan-oom/crowd-killed",
    ("crowd", "--count", "12", "--at-once", "10", "--open", "2", "--kill-ms", "0:1500", "--", *FOR_EVER),
    Role.WATCH,
    iterations=2,
    deadline=120.0,
)


@A_FEW
def test_a_crowd_is_killed(session: Session, iterate: Callable[[Workload], Iterated]) -> None:
    with striking(session, "tiler-oom,chance=0.3,times=0"):
        iterate(CROWD_KILLED).expect_clean()
