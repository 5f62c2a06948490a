# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of our own in an overlay: compiled against the libraries of its packages, where Debian has no program."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from panthorlab import spawn
from panthorlab.arch import DEFAULT
from panthorlab.board.emulated.overlay.table import OwnProgram
from panthorlab.errors import LabError

SOURCES = Path(__file__).parent
_TIMEOUT = 120.0


def sources(built: OwnProgram) -> list[Path]:
    """What the program is made of, headers among it: the file itself, and those that are called after it."""
    stem = Path(built.source).stem
    return sorted({*SOURCES.glob(f"{stem}.[ch]"), *SOURCES.glob(f"{stem}-*.[ch]")})


def digest(built: OwnProgram) -> str:
    """Of the sources."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources(built))).hexdigest()


def compile_into(root: Path, built: OwnProgram) -> None:
    """Put the program into `root`, an unpacked tree of the packages that it needs. Raises LabError."""
    program = root / built.path.lstrip("/")
    program.parent.mkdir(parents=True, exist_ok=True)
    # What a library needs itself may be newer than what the compiler has: the board has it.
    argv = [
        f"{DEFAULT.cross_compile}gcc",
        "-std=gnu11",
        "-O2",
        "-isystem",
        str(root / "usr/include"),
        "-o",
        str(program),
    ]
    argv += [str(file) for file in sources(built) if file.suffix == ".c"]
    argv += [str(root / path.lstrip("/")) for path in built.libraries]
    argv += ["-Wl,--unresolved-symbols=ignore-in-shared-libs"]
    try:
        done = spawn.run(argv, timeout=_TIMEOUT)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise LabError(
            f"{built.source} cannot be compiled: {error}", hint=f"install {DEFAULT.compiler_package}"
        ) from error
    if done.returncode:
        raise LabError(f"{built.source} cannot be compiled: {done.stderr.decode('utf-8', 'replace').strip()[-500:]}")
