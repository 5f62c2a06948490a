# SPDX-License-Identifier: GPL-2.0-or-later
"""What is on every board: which programs, and where the firmware is."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.board.onboard import FIRMWARE, FIRMWARE_FILE, programs
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel
from panthorlab.run.command import _resolve


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    guest = tmp_path / "guest"
    (guest / "obj").mkdir(parents=True)
    for name in ("init", "gpu-job"):
        (guest / name).write_bytes(b"\x7fELF")
    return Kernel(key="k", path=tmp_path, arch="arm64", release="6.12", build_id="", title="6.12")


def test_firmware_is_where_panthor_looks_for_that_of_this_gpu() -> None:
    assert FIRMWARE == "/lib/firmware/arm/mali/arch10.8/mali_csffw.bin"
    assert FIRMWARE_FILE == "arm/mali/arch10.8/mali_csffw.bin"


def test_programs_are_those_that_were_built(kernel: Kernel) -> None:
    assert programs(kernel) == {name: kernel.guest / name for name in ("gpu-job", "init")}
    assert _resolve(["gpu-job", "--mode", "info"], kernel, "/work") == ["/work/gpu-job", "--mode", "info"]
    for other in ("ls", "obj", "/work/gpu-job", "crowd"):
        assert _resolve([other], kernel, "/work") == [other]
    for name in ("init", "gpu-job"):
        (kernel.guest / name).unlink()
    with pytest.raises(LabError, match="has no guest programs in"):
        programs(kernel)
