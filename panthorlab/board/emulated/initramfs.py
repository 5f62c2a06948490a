# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system of an emulated board: an initramfs made for each boot from the kernel's own build.

Not compressed: the emulated guest would need longer to unpack it than QEMU needs to copy it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from panthorlab.board.emulated import cpio
from panthorlab.board.modules import gpu_order, module_name
from panthorlab.board.onboard import WORK_DIR, programs
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.model import Kernel

_MODULES = "/lib/modules"
_LIST = "/lib/modules/panthorlab.order"


def build_initramfs(kernel: Kernel, *, firmware: Mapping[str, bytes], overlay: Path | None) -> bytes:
    """The archive for `kernel`. With `firmware` (files by path) it has a GPU: init loads panthor and its shim."""
    entries = [cpio.dir_entry(path) for path in ("/dev", "/proc", "/sys", "/root", "/run", "/var", "/etc")]
    entries += [cpio.dir_entry("/tmp", 0o1777), cpio.char_device("/dev/console", 5, 1)]  # noqa: S108 - the guest's
    entries += _programs(kernel)
    entries += _modules(kernel, load_gpu=bool(firmware))
    entries += [cpio.file_entry(path, data) for path, data in firmware.items()]
    if overlay is not None:
        entries += overlay_entries(overlay)
    return cpio.write_newc(entries)


def overlay_entries(overlay: Path) -> Iterator[cpio.CpioEntry]:
    """Files, directories and symbolic links under `overlay`, with their modes. Raises UsageError for anything else."""
    if not overlay.is_dir():
        raise UsageError(f"overlay {overlay} is not a directory")
    for folder, directories, files in os.walk(overlay):
        for name in sorted(directories) + sorted(files):
            source = Path(folder, name)
            path = f"/{source.relative_to(overlay)}"
            mode = source.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield cpio.link_entry(path, os.readlink(source))  # noqa: PTH115 - the target as it is written
            elif stat.S_ISDIR(mode):
                yield cpio.dir_entry(path, stat.S_IMODE(mode))
            elif stat.S_ISREG(mode):
                yield cpio.file_entry(path, _read(source), stat.S_IMODE(mode))
            else:
                raise UsageError(f"overlay file {source} is no file, directory or symbolic link")


def _programs(kernel: Kernel) -> Iterator[cpio.CpioEntry]:
    found = programs(kernel)
    if "init" not in found:
        raise LabError(f"kernel {kernel.title} has no guest programs in {kernel.guest}", hint="build it again")
    yield cpio.file_entry("/init", _read(found.pop("init")), 0o755)
    yield cpio.link_entry(f"{WORK_DIR}/init", "/init")
    for name, path in found.items():
        yield cpio.file_entry(f"{WORK_DIR}/{name}", _read(path), 0o755)


def _modules(kernel: Kernel, *, load_gpu: bool) -> Iterator[cpio.CpioEntry]:
    contents = {module_name(path.name): _read(path) for path in sorted(kernel.modules_dir.glob("*.ko"))}
    for name, data in contents.items():
        yield cpio.file_entry(f"{_MODULES}/{name}.ko", data)
    if load_gpu:
        order = gpu_order(contents, shim=True)
        yield cpio.file_entry(_LIST, "".join(f"{_MODULES}/{name}.ko\n" for name in order).encode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
