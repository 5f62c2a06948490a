# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin that stops the guest's CPU (`plugin.c`), and whether a QEMU supports it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.board import calls
from panthorlab.board.emulated import tcg_plugin
from panthorlab.board.emulated.exact.settings import Calls, ExactSettings
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.board.emulated.tcg_plugin import quoted
from panthorlab.errors import LabError
from panthorlab.gpu.exact import passed
from panthorlab.kernel.model import Kernel

_HERE: Final = Path(__file__).parent
FILES: Final = (
    *(_HERE / name for name in ("plugin.c", "coverage.c", "calls.c", "exact.h")),
    *(_HERE.parent / name for name in ("counts.c", "counts.h")),
)
USABLE: Final = b"exact: usable"
_ANSWER_SECONDS: Final = 60.0


def compiled(api: int) -> Path:
    """The shared object for this version of the API. Raises LabError."""
    return tcg_plugin.compiled("exact", FILES, api)


def unusable(qemu: Qemu) -> str:
    """Why this QEMU cannot be used for exact time; empty if it can. Compiles the plugin if need be."""
    found = _ask(qemu)
    return "" if isinstance(found, Path) else found


@dataclass(frozen=True)
class Extras:
    """What the plugin does besides counting and holding. `blocks`: hash all executed blocks. `counts`: file of
    `coverage.counts` in which it counts instructions. `calls`: file in which it writes where the CPU is held, and what
    else is watched; `places`, `code`: files of `gpu.exact.passed` that say what that is. `begins`: write down all
    blocks of the code while one of them is awaited."""

    blocks: bool = False
    counts: Path | None = None
    places: Path | None = None
    code: Path | None = None
    calls: Path | None = None
    begins: bool = False


def extras(wanted: ExactSettings, counts: Path | None, kernel: Kernel, *, run_dir: Path, log_dir: Path) -> Extras:
    """Raises UsageError if calls are wanted of a kernel whose functions have no fixed addresses."""
    made = Extras(wanted.blocks, counts)
    if wanted.calls is Calls.OFF:
        return made
    driver = calls.driver_code(kernel)
    made = replace(made, calls=log_dir / passed.FILE)
    if wanted.calls is not Calls.HELD:
        made = replace(made, places=passed.write_addresses(run_dir / "places", driver.places))
    if wanted.calls is not Calls.ON:
        made = replace(made, code=passed.write_addresses(run_dir / "code", driver.bounds))
    return replace(made, begins=wanted.calls is Calls.BLOCKS)


def arguments(qemu: Qemu, *, page: int, sync: int, extras: Extras) -> list[str]:
    """Arguments for `qemu`, which is usable. `page`, `sync`: inherited file descriptors, see `gpu/exact/wire.py`."""
    found = _ask(qemu)
    if not isinstance(found, Path):
        raise LabError(found)
    words = [f"file={quoted(found)}", f"page={page}", f"sync={sync}"]
    words += ["hash=on"] * extras.blocks + ["begins=on"] * extras.begins
    files = {"counts": extras.counts, "places": extras.places, "code": extras.code, "calls": extras.calls}
    words += [f"{name}={quoted(file)}" for name, file in files.items() if file is not None]
    return ["-plugin", ",".join(words)]


@cache
def _ask(qemu: Qemu) -> Path | str:
    """The plugin that this QEMU takes, or why it takes none. A QEMU's version says which it probably is."""
    likely = tcg_plugin.api_version(qemu.version)
    refusals = []
    for api in sorted(tcg_plugin.APIS, key=lambda api: api != likely):
        try:
            plugin = compiled(api)
        except LabError as error:
            return "; ".join(filter(None, (str(error), error.hint)))
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
