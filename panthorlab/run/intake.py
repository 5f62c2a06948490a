# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep what cannot be read twice, so that a run can be resumed: patches from stdin, and files that may change."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from panthorlab.errors import UsageError
from panthorlab.kernel.patch.files import bounded
from panthorlab.kernel.patch.spec import require_name


def keep_patches(names: Sequence[str], run_dir: Path) -> list[str]:
    """Names under which the patches can be read for as long as the run directory lives.

    Standard input, files and the shell's pipes are copied to `run_dir/patches/`; directories become absolute; anything
    else (git ranges, message-ids) stays as it is.
    """
    kept: list[str] = []
    folder = run_dir / "patches"
    for number, name in enumerate(names, 1):
        require_name(name)
        path = Path(name)
        if name != "-" and not path.exists():
            kept.append(name)
        elif name != "-" and path.is_dir():
            kept.append(os.path.abspath(name))  # noqa: PTH100 - symlinks are to stay
        else:
            data = _stdin(name) if name == "-" else _read(path, name)
            copy = folder / f"{number:02d}" / ("stdin" if name == "-" else path.name if path.is_file() else "pipe")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
            kept.append(str(copy))
    return kept


def _stdin(name: str) -> bytes:
    try:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return bounded(sys.stdin.buffer, name)
    except OSError as error:
        raise UsageError(
            f"the patch cannot be read from standard input: {error.strerror}", hint="name a file, or pipe the patch in"
        ) from error


def _read(path: Path, name: str) -> bytes:
    with path.open("rb") as file:
        return bounded(file, name)
