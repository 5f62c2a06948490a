# SPDX-License-Identifier: GPL-2.0-or-later
"""The files a LAVA job fetches: Image, device tree, and the overlay with all that goes onto the root file system."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from panthorlab.board.modules import SHIM, load_order, module_name
from panthorlab.board.onboard import WORK_DIR
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.driver import DRIVERS
from panthorlab.kernel.model import Kernel

IMAGE: Final = "Image"
OVERLAY: Final = "panthorlab-overlay.tar.gz"
SCRIPT: Final = "on-board.sh"
MODULES: Final = f"{WORK_DIR}/modules"
_OPTION = re.compile(r"^(CONFIG_[A-Z0-9_]+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Artifacts:
    """What a job needs of a kernel. `files`: contents by name. `modules`: to load, in this order, by path on the board.
    `options`: the kernel's configuration."""

    files: Mapping[str, bytes]
    dtb: str
    modules: tuple[str, ...]
    options: Mapping[str, str]

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()

    def write(self, folder: Path) -> None:
        """All files into `folder`, each whole or not at all. Raises LabError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in self.files.items():
                part = folder / f".{name}.part"
                part.write_bytes(data)
                part.chmod(0o644)  # for the web server that publishes it
                part.rename(folder / name)
        except OSError as error:
            raise LabError(f"cannot write the artifacts to {folder}: {error.strerror}") from error


def collect(kernel: Kernel, *, dtb: str, firmware: tuple[str, Path] | None) -> Artifacts:
    """`dtb`: as a board file names it. `firmware`: path on the board and file here, if the root file system lacks it.

    Raises UsageError for a kernel that was not built for such a board.
    """
    name = PurePosixPath(dtb).name
    tree = kernel.path / "dtbs" / name
    if not tree.is_file():
        raise UsageError(
            f"kernel {kernel.title} was built without {dtb}",
            hint="build it with the board's fragments, e.g. `panthorlab build --config rk3588`",
        )
    contents = {
        f"{WORK_DIR}/{file.name}": (_read(file), 0o755) for file in sorted(kernel.guest.glob("*")) if file.is_file()
    }
    if f"{WORK_DIR}/iterate" not in contents:
        raise LabError(f"kernel {kernel.title} has no guest programs in {kernel.guest}", hint="build it again")
    contents[f"{WORK_DIR}/{SCRIPT}"] = (_read(Path(__file__).parent / SCRIPT), 0o755)
    modules = {module_name(file.name): _read(file) for file in sorted(kernel.modules_dir.glob("*.ko"))}
    modules.pop(SHIM, None)  # hangs panthor on a PCI function that only the emulated board has
    order = load_order(modules, tuple(driver.name for driver in DRIVERS if driver.name in modules))
    contents |= {f"{MODULES}/{module}.ko": (modules[module], 0o644) for module in order}
    if firmware is not None:
        contents[firmware[0]] = (_read(firmware[1]), 0o644)
    return Artifacts(
        {IMAGE: _read(kernel.image), name: _read(tree), OVERLAY: _tar(contents)},
        name,
        tuple(f"{MODULES}/{module}.ko" for module in order),
        dict(_OPTION.findall(_read(kernel.path / "config").decode("utf-8", "replace"))),
    )


def _tar(contents: Mapping[str, tuple[bytes, int]]) -> bytes:
    """The same contents give the same bytes: no times, owners or names of this machine."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (data, mode) in sorted(contents.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
