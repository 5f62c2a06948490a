# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab directory with the records of boards: private by default, or shared by all users of a lab."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

VARIABLE = "PANTHORLAB_LAB"


def lab_dir() -> Path:
    """`$PANTHORLAB_LAB`, which must exist, as its group and mode decide who may use the boards; if it is not set, `lab`
    in the user's cache. Raises LabError."""
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


def share(fd: int, folder: Path) -> None:
    """Give exactly the users of the lab directory access to an open file that this process created there, whatever the
    umask and the user's own group are. Raises OSError."""
    about = folder.stat()
    os.fchmod(fd, stat.S_IMODE(about.st_mode) & 0o660 | 0o600)
    if about.st_mode & stat.S_IWGRP and os.fstat(fd).st_gid != about.st_gid:  # the directory lacks the setgid bit
        os.fchown(fd, -1, about.st_gid)
