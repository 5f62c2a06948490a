# SPDX-License-Identifier: GPL-2.0-or-later
"""Of which kernels the driver's calls can be traced, and reading what a board has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.board import calls
from panthorlab.errors import LabError, UsageError
from panthorlab.gpu.exact import passed
from panthorlab.gpu.exact.passed import CpuHeld, Passed
from panthorlab.kernel.model import Kernel


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("CONFIG_DRM_PANTHOR=m", "as a module cannot be traced"),
        ("CONFIG_DRM_PANTHOR=y\nCONFIG_RANDOMIZE_BASE=y", "address at random"),
        ("CONFIG_DRM_TYR=y", "its driver is tyr"),
    ],
)
def test_kernels_without_fixed_functions_are_refused(config: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"{config}\n")
    with pytest.raises(UsageError, match=message):
        calls.watched(Kernel("k", tmp_path, "arm64", "6.12", "ab", "t"))


def test_a_vmlinux_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("CONFIG_DRM_PANTHOR=y\n")
    (tmp_path / "vmlinux").write_bytes(b"x" * 100)
    with pytest.raises(LabError, match="cannot be read"):
        calls.watched(Kernel("k", tmp_path, "arm64", "6.12", "ab", "t"))


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ("CONFIG_VMAP_STACK=y", 1 << 14),
        ("CONFIG_KASAN=y\nCONFIG_KASAN_GENERIC=y", 1 << 15),
        ("CONFIG_ARM64_64K_PAGES=y\nCONFIG_VMAP_STACK=y", 1 << 16),
        ("CONFIG_ARM64_64K_PAGES=y", 1 << 14),
    ],
)
def test_stacks_are_as_large_as_the_kernel_makes_them(config: str, size: int) -> None:
    assert calls.stack_size(config) == size


def test_an_event_that_was_cut_off_is_none(tmp_path: Path) -> None:
    words = [7, 0x1000, 0xFF00, 9, 0x2000 | 1, 4, 11]
    (tmp_path / passed.FILE).write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    assert list(passed.read(tmp_path / passed.FILE)) == [Passed(7, 0x1000, 0xFF00), CpuHeld(9, 0x2000, 4)]
