# SPDX-License-Identifier: GPL-2.0-or-later
"""The board's disk: a boot partition with extlinux entries and a root partition, made without root or loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from panthorlab import debs
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel
from tests.virtual_lab.keys import Keys
from tests.virtual_lab.rootfs import write_root

MIB = 1 << 20
BOOT_START, BOOT_SIZE, ROOT_SIZE = 1, 256, 768
"""MiB. The boot partition takes the known-good kernel and a few kernels under test, KASAN ones too."""
CONSOLE = "ttyAMA0"
ROOT = "root=/dev/vda2 rw rootwait"
_TIMEOUT = 300.0
# U-Boot reads no journal: what `sync` wrote must be where it looks. And it knows no metadata checksums.
_BOOT_FEATURES = "^has_journal,^metadata_csum,^64bit,^orphan_file"
_ROOT_FEATURES = "^metadata_csum,^64bit,^orphan_file"
_KNOWN_GOOD = f"""\
default known-good
timeout 0
label known-good
	linux /known-good/Image
	append console={CONSOLE} {ROOT} loglevel=5 panic=-1 printk.devkmsg=on virtual_lab.known_good
"""


def build_disk(disk: Path, kernel: Kernel, keys: Keys, hostname: str, on_progress: debs.ProgressCallback) -> None:
    """Write `disk`; work files go beside it. Raises LabError."""
    work = disk.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    boot, root = work / "boot", work / "root"
    (boot / "extlinux").mkdir(parents=True)
    (boot / "known-good").mkdir()
    (boot / "panthorlab").mkdir()
    shutil.copyfile(kernel.image, boot / "known-good/Image")
    (boot / "extlinux/extlinux.conf").write_text(_KNOWN_GOOD)
    write_root(root, kernel, keys, hostname, on_progress)

    with disk.open("wb") as file:
        file.truncate((BOOT_START + BOOT_SIZE + ROOT_SIZE + 1) * MIB)
    table = f"label: dos\nstart={BOOT_START}MiB, size={BOOT_SIZE}MiB, type=83, bootable\nsize={ROOT_SIZE}MiB, type=83\n"
    _run(["sfdisk", "--quiet", str(disk)], table)
    _make_ext4(disk, boot, BOOT_START, BOOT_SIZE, "boot", _BOOT_FEATURES)
    _make_ext4(disk, root, BOOT_START + BOOT_SIZE, ROOT_SIZE, "root", _ROOT_FEATURES)
    shutil.rmtree(work)


def _make_ext4(disk: Path, tree: Path, start: int, size: int, label: str, features: str) -> None:
    argv = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        label,
        "-m",
        "0",
        "-O",
        features,
        "-d",
        str(tree),
        "-E",
        f"offset={start * MIB},root_owner=0:0,lazy_itable_init=0",
        str(disk),
        f"{size}M",
    ]
    if os.getuid() != 0:  # files are to belong to the board's root: in a user namespace ours do
        argv = ["unshare", "--map-root-user", *argv]
    _run(argv)


def _run(argv: list[str], text: str = "") -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            argv, input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise LabError(f"there is no `{argv[0]}`", hint="scripts/virtual-lab installs what is needed") from error
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        raise LabError(f"`{argv[0]}` failed: {said[-500:]}")
