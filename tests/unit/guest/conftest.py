# SPDX-License-Identifier: GPL-2.0-or-later
"""Build guest sources with the host's compiler: their logic is the same on every architecture."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import panthorlab

GUEST = Path(panthorlab.__file__).parent / "guest"
ITERATE = ("iterate.c", "iterate-run.c", "subtests.c", "mark.c", "ktap.c", "options.c", "util.c")
"""Of `iterate`, without the sentinel."""

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compile_guest(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """`compile_guest(name, sources, defines)` → the program; sources are named relative to the guest directory."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no host C compiler; ./scripts/test installs one")
    directory = tmp_path_factory.mktemp("guest")

    def build(name: str, sources: Sequence[str | Path], defines: Sequence[str] = ()) -> Path:
        program = directory / name
        subprocess.run(
            [
                compiler,
                "-std=gnu11",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                f"-I{GUEST}",
                *(f"-D{define}" for define in defines),
                "-o",
                str(program),
                *(str(GUEST / source) for source in sources),
            ],
            check=True,
            timeout=60,
        )
        return program

    return build
