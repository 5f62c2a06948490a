# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a lab keeps what it knows: private by default, or one directory that all its users share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

VARIABLE = "PANTHORLAB_LAB"


def lab_dir() -> Path:
    """`$PANTHORLAB_LAB`, which must exist: who may use the boards is the operator's to say, by its group and mode.
    Without it, `lab` in the user's cache. Raises LabError."""
    given = os.environ.get(VARIABLE)
    if not given:
        return cache_dir("lab")
    path = Path(given)
    hint = f"as the operator: install -d -m 2770 -g GROUP {path}   (GROUP: who may use the lab's boards)"
    if not path.is_absolute() or not path.is_dir():
        raise LabError(f"{VARIABLE}={given}: no such directory (an absolute path)", hint=hint)
    if path.stat().st_mode & stat.S_IWOTH:
        raise LabError(f"{VARIABLE}={given}: everybody may write there", hint=hint)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise LabError(f"{VARIABLE}={given}: you may not use this lab", hint="ask its operator to put you in its group")
    return path


def file_mode(folder: Path) -> int:
    """Mode of files in the lab directory: whoever may use the directory may use them, and nobody else."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o660 | 0o600
