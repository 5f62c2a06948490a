# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin that stops the guest's CPU (`plugin.c`), and whether a QEMU supports it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.board.emulated import tcg_plugin
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.board.emulated.tcg_plugin import quoted
from panthorlab.errors import LabError

FILES: Final = (Path(__file__).with_name("plugin.c"),)
USABLE: Final = b"exact: usable"
_ANSWER_SECONDS: Final = 60.0


def compiled(api: int) -> Path:
    """The shared object for this version of the API. Raises LabError."""
    return tcg_plugin.compiled("exact", FILES, api)


@cache
def unusable(qemu: Qemu) -> str:
    """Why this QEMU cannot be used for exact time; empty if it can. Compiles the plugin if need be."""
    try:
        plugin = compiled(tcg_plugin.api_version(qemu.version))
    except LabError as error:
        return str(error)
    argv = [*qemu.argv, "-machine", "none", "-display", "none", "-plugin", f"file={quoted(plugin)},check=on"]
    try:
        done = spawn.run(argv, timeout=_ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"QEMU {qemu.version} cannot be asked whether it takes the exact plugin: {error}"
    if USABLE in done.stdout:
        return ""
    told = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return f"QEMU {qemu.version} does not take the exact plugin: {told[-1] if told else f'status {done.returncode}'}"


def arguments(qemu: str, *, page: int, sync: int, blocks: bool) -> list[str]:
    """Arguments for QEMU of version `qemu`. `page`, `sync`: inherited file descriptors, see `gpu/exact/wire.py`.
    `blocks`: also hash all executed blocks."""
    plugin = quoted(compiled(tcg_plugin.api_version(qemu)))
    return ["-plugin", f"file={plugin},page={page},sync={sync}{',hash=on' if blocks else ''}"]
