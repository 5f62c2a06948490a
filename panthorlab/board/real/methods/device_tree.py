# SPDX-License-Identifier: GPL-2.0-or-later
"""The device tree blob that goes with a kernel under test on a board."""

from __future__ import annotations

from pathlib import Path

from panthorlab.board.real.file import RealFile
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel


def device_tree(file: RealFile, kernel: Kernel) -> Path | None:
    """The build's own DTB of the board file's `dtb`; None if the board's firmware brings one. Raises LabError."""
    if file.dtb is None:
        return None
    blob = kernel.path / "dtbs" / Path(file.dtb).name
    if not blob.is_file():
        raise LabError(
            f"kernel {kernel.title} was built without {file.dtb}",
            hint="does this release have it? else a fragment in `kernel_configs` must name it (`#! dtb`)",
        )
    return blob
