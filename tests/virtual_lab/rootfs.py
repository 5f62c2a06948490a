# SPDX-License-Identifier: GPL-2.0-or-later
"""The board's user space: a few of Debian's arm64 packages, unpacked without root, with our settings laid over them.

BusyBox is init and shell, Dropbear the SSH server, `kexec` and `fw_setenv` are the tools that boards have.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from panthorlab import debs
from panthorlab.board.emulated.gpu_model import firmware
from panthorlab.board.modules import SHIM, load_order, module_name
from panthorlab.gpu.generations.table import DEFAULT_MODEL
from panthorlab.kernel.model import Kernel
from tests.virtual_lab.keys import Keys
from tests.virtual_lab.packages import unpacked

PACKAGES = ("busybox-static", "dropbear-bin", "kexec-tools", "libubootenv-tool", "openssh-sftp-server")
OVERLAY = Path(__file__).with_name("overlay")
KNOWN_GOOD = "lib/known-good"
_MOUNT_POINTS = ("proc", "sys", "dev", "run", "tmp", "boot", "mnt", "root/.ssh", "opt/panthorlab", "var/log")


def write_root(tree: Path, kernel: Kernel, keys: Keys, hostname: str, on_progress: debs.ProgressCallback) -> None:
    """A whole root file system in `tree`, a new directory. `kernel`: the known-good one."""
    shutil.copytree(unpacked(PACKAGES, "arm64", on_progress), tree, symlinks=True)
    shutil.copytree(OVERLAY, tree, symlinks=True, dirs_exist_ok=True)
    for name in _MOUNT_POINTS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "root").chmod(0o700)
    (tree / "etc/hostname").write_text(f"{hostname}\n")
    for link in ("usr/bin/sh", "usr/sbin/init"):
        (tree / link).unlink(missing_ok=True)
        (tree / link).symlink_to("/bin/busybox")
    for path, data in firmware(DEFAULT_MODEL).items():
        _place(tree / path.lstrip("/"), data)
    _place(tree / "etc/dropbear/dropbear_ed25519_host_key", keys.dropbear_host_key(), 0o600)
    _place(tree / "root/.ssh/authorized_keys", keys.authorized(), 0o600)
    _write_modules(tree / KNOWN_GOOD, kernel)


def _write_modules(folder: Path, kernel: Kernel) -> None:
    """The modules that bring the GPU up, and the order to load them in."""
    files = {module_name(path.name): path for path in sorted(kernel.modules_dir.glob("*.ko"))}
    for file in files.values():
        _place(folder / file.name, file.read_bytes())
    wanted = ("panthor", SHIM) if "panthor" in files else (SHIM,)
    order = load_order({name: file.read_bytes() for name, file in files.items()}, wanted)
    (folder / "order").write_text("".join(f"{files[name].name}\n" for name in order))


def _place(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
