# SPDX-License-Identifier: GPL-2.0-or-later
"""Vulkan clients whose tiler heap runs full: the driver is asked for a chunk that it must refuse (Mesa's heap may have 64),
and Mesa's exception handler renders what there is and frees chunks.

Needs `--overlay mesa-vulkan` and, on the emulated GPU, `--param gpu.tiler.chunks_per_job=70`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from panthorlab.outcome import Role
from panthorlab.run.clients import INFO, SYNC, VKMARK, client, crowd, require_vulkan, striking
from panthorlab.run.session import Iterated, Session
from panthorlab.run.workload import Workload

pytestmark = pytest.mark.overlay("mesa-vulkan")

MOST_CHUNKS = 64
"""Of a heap of Mesa's."""
# Every request for memory is counted, and comes a little late.
ASKED = "event-late,event=tiler-oom,ms=1,times=0"


@pytest.fixture(autouse=True, scope="module")
def vulkan(session: Session) -> None:
    require_vulkan(session)
    if int(session.gpu_param("tiler.chunks_per_job") or 0) <= MOST_CHUNKS:
        pytest.skip(f"no heap runs full: add --param gpu.tiler.chunks_per_job={MOST_CHUNKS + 6}")


@pytest.mark.parametrize("scene", ["clear", "cube", "desktop"])
def test_alone(session: Session, scene: str) -> None:
    with striking(session, ASKED):
        client(session, *VKMARK, "-b", f"{scene}:duration=1", name=f"vulkan-oom/{scene}", env=SYNC)


def test_killed(session: Session) -> None:
    with striking(session, ASKED):
        crowd(session, "--count", "12", "--open", "2", "--kill-ms", "100:900", "--", *VKMARK, "-b", "cube:duration=3600",
              name="vulkan-oom/killed")
    client(session, INFO, name="vulkan-oom/after-killed", env=SYNC)


def test_more_clients_than_slots(session: Session) -> None:
    with striking(session, ASKED):
        crowd(session, "--count", "10", "--at-once", "10", "--together", "9", "--", *VKMARK, "-b", "cube:duration=3",
              name="vulkan-oom/crowd", env=SYNC)


CROWD_KILLED = Workload(
    "vulkan-oom/crowd-killed",
    ("crowd", "--count", "16", "--at-once", "12", "--open", "2", "--kill-ms", "0:1500", "--", *VKMARK, "-b",
     "cube:duration=3600"),
    Role.WATCH, iterations=2, deadline=120.0,
)


def test_a_crowd_is_killed(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(CROWD_KILLED).expect_clean()
