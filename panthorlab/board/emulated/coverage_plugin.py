# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin with which QEMU counts instructions (`coverage_plugin.c`): compiled here when it is first needed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

SOURCE: Final = Path(__file__).with_name("coverage_plugin.c")
COMPILER: Final = "gcc"
_OPTIONS: Final = ("-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
_COMPILE_SECONDS: Final = 120.0


def api_version(qemu: str) -> int:
    """The version of the plugin API that QEMU `qemu` (`11.1.3`) takes: 11.1 takes none before its own."""
    major, minor = map(int, re.findall(r"\d+", qemu)[:2])
    return 7 if (major, minor) >= (11, 1) else 4


def compiled(api: int) -> Path:
    """The shared object for this version of the API, from the cache or compiled now. Raises LabError."""
    name = hashlib.sha256(repr((api, _OPTIONS)).encode() + SOURCE.read_bytes()).hexdigest()[:16]
    target = cache_dir("plugins") / f"coverage-{name}.so"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder, "coverage.so")
        argv = [COMPILER, *_OPTIONS, f"-DAPI_VERSION={api}", "-o", str(made), str(SOURCE)]
        try:
            done = spawn.run(argv, timeout=_COMPILE_SECONDS)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            raise LabError(
                f"the coverage plugin for QEMU cannot be compiled: {error}",
                hint=f"install {COMPILER} of this machine (Debian: gcc, libc6-dev)",
            ) from error
        if done.returncode:
            raise LabError(
                f"the coverage plugin for QEMU does not compile:\n{done.stderr.decode(errors='replace')}",
                hint=f"install {COMPILER} of this machine with its headers (Debian: gcc, libc6-dev)",
            )
        made.rename(target)
    return target


def arguments(qemu: str, counts: Path) -> list[str]:
    """What QEMU of version `qemu` is told so that it counts in the file `counts`."""

    def quoted(path: Path) -> str:
        return str(path.resolve()).replace(",", ",,")

    return ["-plugin", f"file={quoted(compiled(api_version(qemu)))},counts={quoted(counts)}"]
