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


def unusable(qemu: Qemu) -> str:
    """Why this QEMU cannot be used for exact time; empty if it can. Compiles the plugin if need be."""
    found = _ask(qemu)
    return "" if isinstance(found, Path) else found


def arguments(qemu: Qemu, *, page: int, sync: int, blocks: bool) -> list[str]:
    """Arguments for `qemu`, which is usable. `page`, `sync`: inherited file descriptors, see `gpu/exact/wire.py`.
    `blocks`: also hash all executed blocks."""
    found = _ask(qemu)
    if not isinstance(found, Path):
        raise LabError(found)
    return ["-plugin", f"file={quoted(found)},page={page},sync={sync}{',hash=on' if blocks else ''}"]


@cache
def _ask(qemu: Qemu) -> Path | str:
    """The plugin that this QEMU takes, or why it takes none. A QEMU's version says which it probably is."""
    likely = tcg_plugin.api_version(qemu.version)
    refusals = []
    for api in sorted(tcg_plugin.APIS, key=lambda api: api != likely):
        try:
            plugin = compiled(api)
        except LabError as error:
            return str(error)
        argv = [*qemu.argv, "-machine", "none", "-display", "none", "-plugin", f"file={quoted(plugin)},check=on"]
        try:
            done = spawn.run(argv, timeout=_ANSWER_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"QEMU {qemu.version} cannot be asked whether it takes the exact plugin: {error}"
        if USABLE in done.stdout:
            return plugin
        message = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
        refusals.append(message[-1] if message else f"status {done.returncode}")
    return f"QEMU {qemu.version} does not take the exact plugin: {refusals[0]}"
