# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep what cannot be read twice, so that a run can be resumed: patches from stdin, and files that may change."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import UsageError
from panthorlab.kernel.patch.files import bounded
from panthorlab.kernel.patch.mailinglist import fetch, message_id
from panthorlab.kernel.patch.spec import require_name


@dataclass(frozen=True)
class Kept:
    """`names`: what the run reads its patches from, now and when it is resumed. `notes`: how they were fetched."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def keep_patches(names: Sequence[str], run_dir: Path, version: int | None = None) -> Kept:
    """Names under which the patches can be read for as long as the run directory lives.

    Standard input, files, the shell's pipes, and what a mailing list has under a message-id (of a series `version`) are
    copied to `run_dir/patches/`; directories become absolute; anything else (git ranges) stays as it is.
    """
    kept: list[str] = []
    notes: list[str] = []
    folder = run_dir / "patches"
    for number, name in enumerate(names, 1):
        require_name(name)
        path = Path(name)
        if name != "-" and not path.exists():
            if (mail := message_id(name)) is None or Path(name.partition("@")[0]).is_dir():
                kept.append(name)
                continue
            fetched = fetch(mail, version)
            copy = folder / f"{number:02d}" / "thread.mbox"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(fetched.mbox)
            kept.append(str(copy))
            notes += fetched.notes
        elif name != "-" and path.is_dir():
            kept.append(os.path.abspath(name))  # noqa: PTH100 - symlinks are to stay
        else:
            data = _stdin(name) if name == "-" else _read(path, name)
            copy = folder / f"{number:02d}" / ("stdin" if name == "-" else path.name if path.is_file() else "pipe")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
            kept.append(str(copy))
    return Kept(tuple(kept), tuple(notes))


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
