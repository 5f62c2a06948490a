# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own TCG plugins for QEMU, compiled on first use for the QEMU in use."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

COMPILER: Final = "gcc"
HEADER: Final = Path(__file__).with_name("tcg_plugin.h")
"""QEMU's plugin API, as our plugins use it."""
_OPTIONS: Final = ("-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
_COMPILE_SECONDS: Final = 120.0


APIS: Final = (7, 4)
"""The versions of the plugin API for which our plugins can be compiled."""


def api_version(qemu: str) -> int:
    """The version of the plugin API for QEMU `qemu` (e.g. `11.1.3`): 11.1 accepts no older version than its own."""
    major, minor = map(int, re.findall(r"\d+", qemu)[:2])
    return 7 if (major, minor) >= (11, 1) else 4


def compiled(name: str, files: Sequence[Path], api: int) -> Path:
    """Plugin `name` for this version of the API, from the cache or compiled now. `files`: its C files and its own
    headers. Raises LabError."""
    key = hashlib.sha256(repr((api, _OPTIONS)).encode())
    for file in (HEADER, *files):
        key.update(hashlib.sha256(file.read_bytes()).digest())
    target = cache_dir("plugins") / f"{name}-{key.hexdigest()[:16]}.so"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder, "plugin.so")
        sources = [str(file) for file in files if file.suffix == ".c"]
        argv = [COMPILER, *_OPTIONS, f"-DAPI_VERSION={api}", f"-I{HEADER.parent}", "-o", str(made), *sources]
        try:
            done = spawn.run(argv, timeout=_COMPILE_SECONDS)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            raise LabError(
                f"the {name} plugin for QEMU cannot be compiled: {error}",
                hint=f"install {COMPILER} of this machine (Debian: gcc, libc6-dev)",
            ) from error
        if done.returncode:
            raise LabError(
                f"the {name} plugin for QEMU does not compile:\n{done.stderr.decode(errors='replace')}",
                hint=f"install {COMPILER} of this machine with its headers (Debian: gcc, libc6-dev)",
            )
        if not made.is_file():
            raise LabError(
                f"the {name} plugin for QEMU cannot be compiled: {argv[0]} said that all went well, and made nothing",
                hint=f"install {COMPILER} of this machine (Debian: gcc, libc6-dev)",
            )
        made.rename(target)
    return target


def quoted(path: Path) -> str:
    """`path` as the value of a QEMU option."""
    return str(path.resolve()).replace(",", ",,")
