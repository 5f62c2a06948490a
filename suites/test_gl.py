# SPDX-License-Identifier: GPL-2.0-or-later
"""Real OpenGL ES clients, Debian's own Mesa unchanged: alone, under a compositor that draws on the GPU itself, killed,
more than the GPU has slots, and beside a GPU that misbehaves.

Needs `--overlay mesa-gl`; a real board's own Mesa, mesa-utils, waffle-utils, weston and glmark2-es2-wayland will do. An
emulated GPU computes no pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from panthorlab.outcome import Role
from panthorlab.run.clients import (
    EGLINFO,
    GL,
    GL_SYNC,
    GLMARK,
    TIMEOUT,
    WESTON,
    WFLINFO,
    client,
    crowd,
    require_gl,
    striking,
    under_weston,
)
from panthorlab.run.session import Iterated, Session
from panthorlab.run.workload import Workload

pytestmark = [pytest.mark.driver("csif", "vm", "groups", "heaps"), pytest.mark.overlay("mesa-gl")]

SPINNING = "/usr/bin/weston-simple-egl"  # draws until it is killed
SCENES = ("build", "texture", "shading", "effect2d", "desktop", "buffer", "jellyfish")
TROUBLE = {"power-error", "firmware-error", "gpu-reset", "job-timeout", "warning", "cs-fault", "cs-fatal", "mmu-fault"}
# By what is killed: after how many milliseconds with the GPU open.
KILLED = {"eglinfo": ("0:150", EGLINFO), "wflinfo": ("0:150", WFLINFO), "weston": ("0:700", (*WESTON, SPINNING))}


@pytest.fixture(autouse=True, scope="module")
def gl(session: Session) -> None:
    require_gl(session)


@pytest.mark.parametrize(("name", "argv"), [("eglinfo", EGLINFO), ("wflinfo", WFLINFO)])
def test_the_driver_is_found(session: Session, name: str, argv: tuple[str, ...]) -> None:
    lines = client(session, *argv, name=f"gl/{name}-names", env=GL_SYNC).report.lines
    names = [line.partition(":")[2].strip() for line in lines if "renderer" in line]
    assert any("Mali" in name and "Panfrost" in name for name in names), f"{name} names no Mali GPU, but: {names}"


@pytest.mark.parametrize("scene", SCENES)
def test_frames_are_drawn(session: Session, scene: str) -> None:
    marks = under_weston(GLMARK, "-b", f"{scene}:duration=0.5")
    lines = client(session, *marks, name=f"gl/{scene}", env=GL_SYNC).report.lines
    rates = [int(found[1]) for line in lines if (found := re.search(r"FPS: (\d+)", line))]
    assert rates and rates[0] > 0, "\n".join(["no frame was drawn", *lines])  # noqa: PT018 - one fact
    assert any("GL_RENDERER" in line and "Mali" in line for line in lines), "\n".join(lines)


# A client that ends as it should: each context that it has made had a group and a heap.
ENDS = Workload(
    "gl/eglinfo",
    EGLINFO,
    Role.WATCH,
    iterations=20,
    deadline=60.0,
    env=tuple(f"{name}={value}" for name, value in GL.items()),
)
ENDS_SLOWLY = replace(ENDS, name="gl/eglinfo-slow-writeout")


def test_a_client_ends(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(ENDS).expect_clean()


@pytest.mark.gpu("writeout.delay_ms=20")
def test_a_client_ends_while_the_heap_is_written_out(iterate: Callable[[Workload], Iterated]) -> None:
    """A window as wide as this is also hit on a busy host: without the fix most iterations fault."""
    iterate(ENDS_SLOWLY).expect_clean()


@pytest.mark.parametrize("name", KILLED)
def test_killed(session: Session, name: str) -> None:
    """One at a time, killed with SIGKILL at a random moment; the next one works."""
    window, argv = KILLED[name]
    crowd(session, "--count", "20", "--kill-ms", window, "--", *argv, name=f"gl/{name}-killed", env=GL)
    client(session, *EGLINFO, name="gl/after-killed", env=GL_SYNC)


def test_more_clients_than_slots_and_address_spaces(session: Session) -> None:
    clients = under_weston(
        "crowd", "--count", "12", "--at-once", "12", "--together", "12", "--", GLMARK, "-b", "build:duration=2"
    )
    client(session, *clients, name="gl/crowd", env=GL_SYNC)


# Fixed kernels fault here, too: several clients at once are the residual of the fix (docs/evidence.md).
CROWD_KILLED = Workload(
    "gl/crowd-killed",
    under_weston("crowd", "--count", "16", "--at-once", "12", "--kill-ms", "0:1500", "--", SPINNING),
    Role.WATCH,
    iterations=3,
    deadline=180.0,
    env=ENDS.env,
)


def test_a_crowd_is_killed(iterate: Callable[[Workload], Iterated]) -> None:
    iterate(CROWD_KILLED).expect_clean()


@pytest.mark.parametrize(
    "rule",
    [
        "irq-late,line=job,ms=5,chance=0.2",
        "event-late,event=sync-update,ms=5,chance=0.2",
        "flush-late,ms=5",
        "state-late,state=suspend,ms=20",
    ],
)
def test_what_is_only_late_is_not_noticed(session: Session, rule: str) -> None:
    """Hardware may be this slow: no client sees anything of it, and the kernel says nothing."""
    with striking(session, f"{rule},times=0"):
        clients = under_weston("crowd", "--count", "9", "--at-once", "9", "--", GLMARK, "-b", "build:duration=0.5")
        client(session, *clients, name=f"gl/{rule.partition(',')[0]}", env=GL_SYNC)


@pytest.mark.parametrize("rule", ["cs-fault", "mmu-fault,requester=lsu"])
def test_the_next_client_works_after(session: Session, rule: str) -> None:
    """A fault in the middle of a client: that one may abort, the kernel must not lose its GPU."""
    name = rule.partition(",")[0]
    marks = under_weston(GLMARK, "-b", "build:duration=0.5")
    with striking(session, f"{rule},nth=5"), session.findings_expected(TROUBLE):
        session.program(*marks, timeout=TIMEOUT, name=f"gl/{name}", env=GL_SYNC)
        session.job("store", timeout=60, retries=3)  # a reset may still be under way
    client(session, *marks, name=f"gl/after-{name}", env=GL_SYNC)
