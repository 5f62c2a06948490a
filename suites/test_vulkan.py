# SPDX-License-Identifier: GPL-2.0-or-later
"""Real Vulkan clients, Debian's own Mesa unchanged: alone, killed, more than the GPU has slots, and beside a GPU that
misbehaves.

Needs `--overlay mesa-vulkan`; a real board's own Mesa, vulkaninfo and vkmark will do. An emulated GPU computes no
pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from panthorlab.outcome import Role
from panthorlab.run.clients import INFO, SYNC, TIMEOUT, VKMARK, client, crowd, require_vulkan, striking
from panthorlab.run.session import Iterated, Session
from panthorlab.run.workload import Workload

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("mesa-vulkan")]

FOR_EVER = (*VKMARK, "-b", "cube:duration=3600")
SCENES = ("cube", "vertex", "texture", "shading", "effect2d", "desktop")
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "warning", "cs-fault", "cs-fatal", "mmu-fault"}
# By what is killed: after how many milliseconds with a logical device, for which Mesa opens the GPU a second time.
KILLED = {"vulkaninfo": ("0:60", (INFO,)), "vkmark": ("0:700", FOR_EVER)}


@pytest.fixture(autouse=True, scope="module")
def vulkan(session: Session) -> None:
    require_vulkan(session)


def test_the_driver_is_found(session: Session) -> None:
    lines = client(session, INFO, "--summary", name="vulkan/vulkaninfo").report.lines
    names = [line.partition("=")[2].strip() for line in lines if "deviceName" in line]
    assert any("Mali" in name for name in names), f"vulkaninfo names no Mali GPU, but: {names}"


@pytest.mark.parametrize("scene", SCENES)
def test_frames_are_drawn(session: Session, scene: str) -> None:
    lines = client(session, *VKMARK, "-b", f"{scene}:duration=0.5", name=f"vulkan/{scene}", env=SYNC).report.lines
    rates = [int(found[1]) for line in lines if (found := re.search(r"FPS: (\d+)", line))]
    assert rates and rates[0] > 0, "\n".join(["no frame was drawn", *lines])  # noqa: PT018 - one fact


@pytest.mark.parametrize("name", KILLED)
def test_killed(session: Session, name: str) -> None:
    """One client at a time, killed with SIGKILL at a random moment; the next one works."""
    window, argv = KILLED[name]
    crowd(session, "--count", "20", "--open", "2", "--kill-ms", window, "--", *argv, name=f"vulkan/{name}-killed")
    client(session, INFO, name="vulkan/after-killed", env=SYNC)


def test_more_clients_than_slots_and_address_spaces(session: Session) -> None:
    crowd(
        session,
        "--count",
        "16",
        "--at-once",
        "16",
        "--together",
        "12",
        "--",
        *VKMARK,
        "-b",
        "cube:duration=3",
        name="vulkan/crowd",
        env=SYNC,
    )


# Fixed kernels fault here, too: several clients at once are the residual of the fix (docs/evidence.md).
CROWD_KILLED = Workload(
    "vulkan/crowd-killed",
    ("crowd", "--count", "32", "--at-once", "12", "--warm", "--open", "2", "--kill-ms", "0:1500", "--", *FOR_EVER),
    Role.WATCH,
    iterations=4,
    deadline=120.0,
)


def test_a_crowd_is_killed(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(CROWD_KILLED).expect_clean()


@pytest.mark.parametrize(
    "rule",
    [
        "irq-late,line=job,ms=5,chance=0.2",
        "irq-twice,line=job,ms=1,chance=0.2",
        "event-late,event=sync-update,ms=5,chance=0.2",
        "flush-late,ms=5",
        "as-stuck,ms=2,chance=0.2",
        "state-late,state=start,ms=20",
        "state-late,state=suspend,ms=20",
    ],
)
def test_what_is_only_late_is_not_noticed(session: Session, rule: str) -> None:
    """Hardware may be this slow: no client sees anything of it, and the kernel says nothing."""
    with striking(session, f"{rule},times=0"):
        crowd(
            session,
            "--count",
            "10",
            "--at-once",
            "10",
            "--",
            *VKMARK,
            "-b",
            "cube:duration=1",
            name=f"vulkan/{rule.partition(',')[0]}",
            env=SYNC,
        )


@pytest.mark.parametrize("rule", ["cs-fault", "cs-fatal", "mmu-fault,requester=lsu", "state-lost,state=suspend"])
def test_the_next_client_works_after(session: Session, rule: str) -> None:
    """A fault in the middle of a client: that one may lose its device, the kernel must not lose its GPU."""
    name = rule.partition(",")[0]
    with striking(session, f"{rule},nth=5"), session.findings_expected(TROUBLE):
        session.program(
            "crowd",
            "--count",
            "9",
            "--at-once",
            "9",
            "--",
            *VKMARK,
            "-b",
            "cube:duration=1",
            timeout=TIMEOUT,
            name=f"vulkan/{name}",
        )
        session.job("store", timeout=60, retries=3)  # a reset may still be under way
    client(session, *VKMARK, "-b", "cube:duration=0.5", name=f"vulkan/after-{name}", env=SYNC)
