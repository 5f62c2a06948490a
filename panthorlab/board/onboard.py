# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that every board has while it runs a kernel of ours, and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from panthorlab.errors import LabError
from panthorlab.gpu.generations.table import DEFAULT_MODEL, GENERATIONS
from panthorlab.kernel.model import Kernel

WORK_DIR: Final = "/opt/panthorlab"
"""Where the guest programs are, unless the file of a real board says otherwise."""
FIRMWARE: Final = GENERATIONS[DEFAULT_MODEL].firmware_path
"""Path of the GPU firmware that panthor loads, unless the file of a real board says otherwise."""
FIRMWARE_FILE: Final = FIRMWARE.removeprefix("/lib/firmware/")
"""The same, relative to a firmware directory such as linux-firmware.git."""


def programs(kernel: Kernel) -> dict[str, Path]:
    """The guest programs of a build, by name; they are static, so that they run on any root file system. Raises
    LabError if there are none."""
    found = {path.name: path for path in sorted(kernel.guest.glob("*")) if path.is_file()}
    if not found:
        raise LabError(f"kernel {kernel.title} has no guest programs in {kernel.guest}", hint="build it again")
    return found
