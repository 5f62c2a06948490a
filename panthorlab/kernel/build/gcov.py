# SPDX-License-Identifier: GPL-2.0-or-later
"""gcov of the compiler that builds the kernels: from its notes and a board's counts to what ran, as JSON.

Both come from a tree that is not trusted, so that it runs in the jail.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError
from panthorlab.kernel.build.toolchain import find_toolchain
from panthorlab.kernel.jail.sandbox import Bind, sandbox, tools

_SECONDS: Final = 120.0


def check(arch: str) -> None:
    """Raises LabError if there is no gcov for kernels of `arch`."""
    _program(arch)


def run(arch: str, counts: Mapping[Path, Path]) -> list[str]:
    """gcov's reports. `counts`: by the compiler's notes of an object (.gcno), what it has counted (.gcda).

    Raises LabError if gcov cannot read them, or they do not belong together.
    """
    if not counts:
        return []
    program = _program(arch)
    with tempfile.TemporaryDirectory(prefix="panthorlab-gcov-") as folder:
        Path(folder).chmod(0o755)
        names = [f"{number}.gcno" for number, _ in enumerate(counts)]
        for name, (note, count) in zip(names, counts.items(), strict=True):
            shutil.copyfile(note, Path(folder, name))
            shutil.copyfile(count, Path(folder, name).with_suffix(".gcda"))
        binds = (Bind("gcov", Path(folder)), *tools([program]))
        box, said = sandbox(), list[str]()
        files = [f"{box.where(binds, 'gcov')}/{name}" for name in names]
        status = box.run([program, "--json-format", "--stdout", *files], binds, on_line=said.append, timeout=_SECONDS)
    # What it complains of may come right behind a report, for that goes through a buffer.
    parts = [line.rpartition("}") if line.startswith("{") else ("", "", line) for line in said]
    reports = [head + end for head, end, _ in parts if end]
    complaints = [tail for _, _, tail in parts if tail]
    if status or complaints or len(reports) != len(counts):
        raise LabError(
            f"{program} cannot read what was counted: {'; '.join(complaints[:5]) or f'status {status}'}",
            hint="it must be of the compiler that has built the kernel (CROSS_COMPILE)",
        )
    return reports


def _program(arch: str) -> str:
    program = f"{find_toolchain(arch).prefix}gcov"
    if shutil.which(program) is None:
        raise LabError(f"there is no {program}", hint="it comes with the compiler; is that installed whole?")
    return program
