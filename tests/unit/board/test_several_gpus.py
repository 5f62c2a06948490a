# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated board with several GPUs: how many, with which kernel, and what QEMU and the events are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from panthorlab.board.emulated.bootorder import SHIM, Order
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.machine import Wires, qemu_arguments
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.board.gpu_events import GpuEvents
from panthorlab.board.registry import open_board
from panthorlab.errors import UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.paths import PACKAGE
from panthorlab.run.kernels import parse_params

GUEST = PACKAGE / "guest"


def order(folder: Path, params: Mapping[str, str], shim: bytes = b"\0gpus=10\0") -> Order:
    (folder / "modules").mkdir(exist_ok=True)
    (folder / "modules" / SHIM).write_bytes(shim)
    kernel = Kernel("k", folder, "arm64", "6.12.117", "", "6.12.117")
    file = EmulatedFile.model_validate({"type": "emulated"})
    return Order("b", file, kernel, Qemu((), "11.1", "PATH"), folder, None, params, params, None, None, "")


def test_one_unless_more_are_wanted(tmp_path: Path) -> None:
    assert order(tmp_path, {}, shim=b"").gpus == 1
    assert order(tmp_path, {"count": "2"}).gpus == 2


def test_a_shim_that_knows_but_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="knows but one GPU"):
        order(tmp_path, {"count": "2"}, shim=b"an older one").gpus  # noqa: B018 - it raises


def test_the_shim_says_what_is_looked_for() -> None:
    assert "MODULE_INFO(gpus, " in (GUEST / "shim/panthor_pci.c").read_text()


@pytest.mark.parametrize("count", ["0", "5", "x", "1.5"])
def test_other_numbers_are_refused(tmp_path: Path, count: str) -> None:
    with pytest.raises(UsageError, match=r"gpu\.count"):
        order(tmp_path, {"count": count}).gpus  # noqa: B018 - it raises
    with pytest.raises(UsageError, match=r"gpu\.count"):
        parse_params([f"gpu.count={count}"])


def test_the_shipped_board_has_two() -> None:
    board = open_board("qemu-g610-dual")
    assert isinstance(board.file, EmulatedFile)
    assert board.file.gpu is not None
    assert board.file.gpu.params == {"count": "2"}


def test_qemu_has_a_function_for_each() -> None:
    file = EmulatedFile.model_validate({"type": "emulated"})
    wires = Wires(5, 6, 7, ["gpu.sock", "gpu1.sock"])
    arguments = qemu_arguments(file, image=Path("/k/Image"), initrd=Path("/r/i"), wires=wires)
    devices = [json.loads(word) for word in arguments if word.startswith('{"driver": "vfio-user-pci"')]
    assert [device["socket"]["path"] for device in devices] == ["gpu.sock", "gpu1.sock"]


def test_what_the_second_reports_says_so(tmp_path: Path) -> None:
    lines = [
        {"time": 1.0, "kind": "misuse", "text": "a read"},
        {"time": 2.0, "kind": "misuse", "text": "a read", "gpu": 1},
        {"time": 3.0, "kind": "injected", "text": "flush-lost,nth=1,times=1,gpu=1:", "gpu": 1},
        {"time": 4.0, "kind": "unmodelled", "text": "GPU_CMD 0x9", "gpu": 1},
    ]
    (tmp_path / "events").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = GpuEvents(tmp_path / "events")
    assert events.misuses() == ["a read", "GPU 1: a read"]
    assert events.struck() == ["flush-lost,nth=1,times=1,gpu=1:"]
    assert [hazard.text for hazard in events.hazards()] == ["GPU 1: GPU_CMD 0x9"]
