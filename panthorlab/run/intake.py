# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep what cannot be read twice, so that a run can be resumed: patches from stdin, and files that may change."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import PatchError

MAX_PATCH: Final = 64 << 20


def keep_patches(names: Sequence[str], run_dir: Path) -> list[str]:
    """Names under which the patches can be read for as long as the run directory lives.

    Standard input and files are copied to `run_dir/patches/`; directories become absolute; anything else (git ranges,
    message-ids) stays as it is.
    """
    kept: list[str] = []
    folder = run_dir / "patches"
    for number, name in enumerate(names, 1):
        path = Path(name)
        if name == "-" or path.is_file():
            data = sys.stdin.buffer.read(MAX_PATCH + 1) if name == "-" else _read(path)
            if len(data) > MAX_PATCH:
                raise PatchError(f"{name}: more than {MAX_PATCH >> 20} MiB is no patch that anybody reviews")
            copy = folder / f"{number:02d}" / ("stdin" if name == "-" else path.name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
            kept.append(str(copy))
        else:
            kept.append(os.path.abspath(name) if path.is_dir() else name)  # noqa: PTH100 - symlinks are to stay
    return kept


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PATCH + 1)
