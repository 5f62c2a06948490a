# SPDX-License-Identifier: GPL-2.0-or-later
"""What kexec does to a GPU, on kernels that really do it. (The boot method itself is tried in the virtual lab.)"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from panthorlab.board.api import Hazard
from panthorlab.board.boardtime import TimeName
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.methods.kexec import check_quiet, impossible
from panthorlab.board.real.panthor_driver import PanthorDriver
from panthorlab.board.real.parts import Rig
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
DEADLINE = 120.0
REAL = {
    "type": "real",
    "console": {"transport": "tcp", "host": "127.0.0.1", "port": 1},
    "power": {"driver": "manual"},
    "ssh": {"host": "127.0.0.1"},
    "boot": {"methods": ["kexec"], "console": "ttyAMA0", "root": ""},
}


@pytest.fixture
def board(module_kernels: tuple[Kernel, Kernel], tmp_path: Path) -> Iterator[BootedEmulatedBoard]:
    """With `/jump` (jump.c) and the kernel's own Image as `/Image`."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    source = Path(__file__).with_name("jump.c")
    subprocess.run(
        [
            "aarch64-linux-gnu-gcc",
            "-static",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(overlay / "jump"),
            str(source),
        ],
        check=True,
        timeout=120,
    )
    (overlay / "Image").write_bytes(module_kernels[1].image.read_bytes())
    emulated = EmulatedBoard("kexec", EmulatedFile.model_validate({"type": "emulated"}))
    # Whoever waits for the console alone waits by the host's clock, by which a guest in exact time does not get on.
    with emulated.boot(module_kernels[1], log_dir=tmp_path / "logs", overlay=overlay, time=TimeName.HOST) as booted:
        yield booted


def jump(board: BootedEmulatedBoard) -> None:
    """Into the next kernel, until it says its first words. It has no root file system to go on with."""
    board.shell.start(["/jump", "/Image"], on_stdout=lambda _data: None)
    line = board.console.wait_for(lambda line: b"command line: earlycon second=1" in line.text, DEADLINE)
    assert line is not None, board.console.tail()


def driver(board: BootedEmulatedBoard) -> PanthorDriver:
    return PanthorDriver(board.shell, board.work_dir)


def wait_submitted(board: BootedEmulatedBoard) -> None:
    """Until a program waits (with poll) for its job, which goes on for seconds."""
    deadline = time.monotonic() + DEADLINE
    while not any(
        board.shell.get(f"/proc/{holder.pid}/wchan").startswith(b"do_sys_poll") for holder in driver(board).holders()
    ):
        assert time.monotonic() < deadline, "no program waits for the GPU"


def test_a_gpu_left_at_work_is_found_out(board: BootedEmulatedBoard) -> None:
    board.shell.start(
        [f"{board.work_dir}/gpu-job", "--mode", "busy", "--loops", "2000000000"], on_stdout=lambda _data: None
    )
    wait_submitted(board)
    jump(board)
    hazards: list[Hazard] = list(board.hazards())
    assert {hazard.kind for hazard in hazards} == {"dma-after-shutdown"}
    with pytest.raises(LabError, match="after kexec, for panthor was not unbound"):
        check_quiet(hazards)


def test_an_unbound_gpu_is_quiet(board: BootedEmulatedBoard) -> None:
    done = board.shell.run([f"{board.work_dir}/gpu-job", "--mode", "store"], timeout=DEADLINE)
    assert done.status == 0
    driver(board).unbind()
    jump(board)
    assert list(board.hazards()) == []


def test_the_interrupt_controller_of_this_machine_forbids_it(board: BootedEmulatedBoard, tmp_path: Path) -> None:
    """QEMU's GICv3, booted without EFI: `jump` goes there all the same, and its kernel dies soon."""
    rig = cast("Rig", SimpleNamespace(file=RealFile.model_validate(REAL), log_dir=tmp_path))
    assert "irqchip.gicv3_nolpi=1" in str(impossible(board.shell, rig))
