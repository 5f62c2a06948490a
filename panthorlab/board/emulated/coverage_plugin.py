# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin with which QEMU counts instructions (`coverage_plugin.c`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from panthorlab.board.emulated import tcg_plugin
from panthorlab.board.emulated.tcg_plugin import quoted

FILES: Final = tuple(map(Path(__file__).with_name, ("coverage_plugin.c", "counts.c", "counts.h")))


def compiled(api: int) -> Path:
    """The shared object for this version of the API. Raises LabError."""
    return tcg_plugin.compiled("coverage", FILES, api)


def arguments(qemu: str, counts: Path) -> list[str]:
    """Arguments for QEMU of version `qemu` to count in the file `counts`."""
    plugin = compiled(tcg_plugin.api_version(qemu))
    return ["-plugin", f"file={quoted(plugin)},counts={quoted(counts)}"]
