# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel as the store has it, in miniature, and a board file for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.kernel.model import Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """panthor is a module that needs another; both are ELF-less, which is all that `load_order` wants."""
    root = tmp_path / "kernel"
    files = {
        "Image": b"image", "dtbs/rk3588-rock-5b.dtb": b"dtb", "guest/iterate": b"program", "guest/init": b"init",
        "modules/panthor.ko": b"\0depends=drm-gpuvm\0", "modules/drm_gpuvm.ko": b"\0depends=\0",
        "modules/panthor-pci-shim.ko": b"\0depends=\0",
        "config": b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_ROOT_NFS=y\nCONFIG_DRM_PANTHOR=m\n",
    }  # fmt: skip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return Kernel(
        "0123abcd",
        root,
        "arm64",
        "6.12.117",
        "ab" * 20,
        "6.12.117 + 1 patch",
        modules={"panthor": "cd" * 20, "panthor_pci_shim": "ef" * 20},
    )
