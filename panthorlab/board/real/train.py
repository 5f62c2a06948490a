# SPDX-License-Identifier: GPL-2.0-or-later
"""Health check of a board: boot its known-good kernel a number of times and check that the GPU probes each time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from panthorlab.board.board import Fitness
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.known_good import await_known_good, power_cycle
from panthorlab.board.real.parts import Rig
from panthorlab.board.real.rig import open_rig
from panthorlab.board.real.workdir import require_firmware
from panthorlab.errors import LabError


def train(name: str, file: RealFile, boots: int | None, progress: Callable[[str], None]) -> Fitness:
    """Power cycle the board into its known-good kernel `boots` times (default: from the board file). Raises LabError
    only if the board is not available at all; failed boots are reported in the result."""
    boots = boots or file.recovery.health_boots
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="panthorlab-train-") as scratch,
        open_rig(
            name, file, run_dir=Path(scratch), log_dir=Path(scratch), progress=progress, despite_quarantine=True
        ) as rig,
    ):
        for number in range(1, boots + 1):
            progress(f"boot {number} of {boots}")
            try:
                _known_good_boot(rig)
            except LabError as error:
                problem = f"boot {number} of {boots}: {error}\nLast on the console:\n{rig.console.tail()}"
                return Fitness(boots, number - 1, problem, time.monotonic() - began)
    return Fitness(boots, boots, None, time.monotonic() - began)


def _known_good_boot(rig: Rig) -> None:
    power_cycle(rig)
    shell = await_known_good(rig)
    try:
        require_firmware(shell, rig.file.firmware)
    finally:
        shell.close()
