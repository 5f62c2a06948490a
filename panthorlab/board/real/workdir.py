# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that panthorlab installs on a running board: workloads, the modules of the build, and the user's overlay."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from panthorlab.board.api import RemoteFileError
from panthorlab.board.onboard import FIRMWARE
from panthorlab.board.real.file import Firmware
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel.driver import DRIVERS
from panthorlab.kernel.model import Kernel

_PACKED = (".xz", ".zst")  # CONFIG_FW_LOADER_COMPRESS


class FileReader(Protocol):
    """The part of a `Shell` that reads files."""

    def get(self, path: str) -> bytes: ...


def overlay_files(overlay: Path) -> dict[Path, str]:
    """The files under `overlay` and their paths on the board. Raises UsageError for anything but a plain file."""
    if not overlay.is_dir():
        raise UsageError(f"overlay {overlay} is not a directory")
    found: dict[Path, str] = {}
    for path in sorted(overlay.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UsageError(
                f"overlay file {path} is no file or directory",
                hint="a real board's overlay is copied over SSH: plain files only",
            )
        if path.is_file():
            found[path] = f"/{path.relative_to(overlay)}"
    return found


def finds_firmware(kernel: Kernel) -> bool:
    """Whether panthor can load its firmware: as a module from the root file system, or both built in."""
    if any(driver.name in kernel.modules for driver in DRIVERS):
        return True
    name, config = PurePosixPath(FIRMWARE).name, (kernel.path / "config").read_text("utf-8", "replace")
    return any(line.startswith('CONFIG_EXTRA_FIRMWARE="') and name in line for line in config.splitlines())


def require_firmware(shell: FileReader, section: Firmware) -> None:
    """Check that the GPU's firmware is on the board and, if the board file specifies one, is that. Raises LabError."""
    problem = None
    for suffix in ("", *_PACKED):
        try:
            data = shell.get(section.path + suffix)
        except RemoteFileError as error:
            problem = problem or str(error)
            continue
        if suffix or section.sha256 is None or hashlib.sha256(data).hexdigest() == section.sha256:
            return
        raise LabError(
            f"{section.path} on the board is not the firmware that the board file names by sha256",
            hint=f"source: {section.source}",
        )
    raise LabError(f"the GPU's firmware is not on the board: {problem}", hint=f"source: {section.source}")
