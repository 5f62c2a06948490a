# SPDX-License-Identifier: GPL-2.0-or-later
"""Other people's programs as GPU clients in a suite: Mesa's Vulkan and OpenGL ES drivers, alone and in crowds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from panthorlab.board.api import LATE
from panthorlab.errors import EvidenceError
from panthorlab.run.session import ProgramResult, Session

TIMEOUT: Final = 300.0
SYNC: Final = {"PANVK_DEBUG": "sync"}
"""With it Mesa itself checks that every command stream ran to its end, or says that the device is lost."""
INFO: Final = "/usr/bin/vulkaninfo"
VKMARK: Final = ("/usr/bin/vkmark", "--winsys", "headless")
COMPUTE: Final = "/usr/bin/vk-compute"
GGML_TEST: Final = "/usr/bin/test-backend-ops"
NO_NUMBERS: Final = "clients computed on an emulated GPU, which computes nothing: their results were not looked at"
NO_PIXELS: Final = "clients ran on an emulated GPU, which computes no pixels: what they drew was not looked at"

GL: Final = {"XDG_RUNTIME_DIR": "/run"}
"""Where Wayland's sockets go."""
GL_SYNC: Final = {**GL, "PAN_MESA_DEBUG": "sync"}
"""With it Mesa waits for each command stream, and aborts if it did not run to its end."""
EGLINFO: Final = ("/usr/bin/eglinfo", "-B", "-p", "surfaceless")
WFLINFO: Final = ("/usr/bin/wflinfo", "--platform", "surfaceless_egl", "--api", "gles2")
WESTON: Final = (
    "/usr/bin/weston",
    "--no-config",
    "--log=/dev/null",
    "--idle-time=0",
    "--backend=headless",
    "--renderer=gl",
    "--shell=kiosk",
    "--",
)
GLMARK: Final = "/usr/bin/glmark2-es2-wayland"
# Weston ends with its client, but with status 0 whatever became of that: so it is written down, and must be there.
_UNDER_WESTON = f"""ended=/run/under-weston.$$
rm -f $ended
{" ".join(WESTON)} /bin/sh -c '"$@"; echo $? >"$0"' $ended "$@" || exit
read -r status <$ended && rm $ended && exit $status"""


def require_vulkan(session: Session, note: str = f"Vulkan {NO_PIXELS}") -> None:
    """What Mesa needs beside its files, and what a reader must know of an emulated board."""
    if not session.board.injections:  # a real board
        return
    if not session.has_config("CONFIG_INITRAMFS_PRESERVE_MTIME"):
        pytest.skip(
            "Mesa refuses a library from 1970, and this kernel gives that date to all files: it lacks "
            "CONFIG_INITRAMFS_PRESERVE_MTIME (kernel_configs/qemu-virt.config)"
        )
    session.note(note)


def require_gl(session: Session) -> None:
    """What a reader must know of an emulated board."""
    if session.board.injections:
        session.note(f"OpenGL ES {NO_PIXELS}")


def under_weston(*argv: str) -> tuple[str, ...]:
    """The command that runs `argv` as the client of a compositor without a display, which draws on the GPU itself. It
    ends with the client's status, or badly if the compositor does."""
    return ("/bin/sh", "-c", _UNDER_WESTON, "under-weston", *argv)


def client(session: Session, *argv: str, name: str, env: Mapping[str, str] | None = None) -> ProgramResult:
    """Run it; the test fails unless it ends well. What the model does not emulate is no fault of the kernel's."""
    before = len(session.board.hazards())
    result = session.check(*argv, timeout=TIMEOUT, name=name, env=env)
    if hazards := [hazard.text for hazard in session.board.hazards()[before:] if hazard.kind != LATE]:
        raise EvidenceError(f"{name}: {'; '.join(hazards)}")
    return result


def crowd(session: Session, *argv: str, name: str, env: Mapping[str, str] | None = None) -> ProgramResult:
    """As `client`, for `crowd` with these arguments and the run's seed."""
    return client(session, "crowd", "--seed", str(session.job_description.seed), *argv, name=name, env=env)


@contextmanager
def striking(session: Session, rule: str) -> Iterator[None]:
    """As `session.misbehaving`, and proves that it has happened: else nothing was tried."""
    misdeed = rule.partition(",")[0]
    with session.misbehaving(rule):
        before = _strikes(session, misdeed)
        yield
        if _strikes(session, misdeed) == before:
            raise EvidenceError(f"{rule}: it never happened, so nothing was tried")


def _strikes(session: Session, misdeed: str) -> int:
    """How often the emulated GPU has done this wrong since it was started."""
    events = Path(session.job_description.log_dir, "gpu-events.jsonl").read_text().splitlines()
    return sum(event["kind"] == "injected" and event["misdeed"] == misdeed for event in map(json.loads, events))
