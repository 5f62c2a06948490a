# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel by what the user calls it."""

from __future__ import annotations

from pathlib import Path

from panthorlab.kernel import store
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet


def find_kernel(name: str, *, log: Path, progress: Progress = quiet) -> Kernel:
    """A kernel by store key (a unique prefix will do), by its directory in a store, or by build directory (O= of a
    finished build, see `external.import_build`).

    Raises UsageError, BuildError, LabError.
    """
    if (record := Path(name, store.RECORD)).is_file():
        return store.read_record(record)
    if (Path(name) / "vmlinux").exists() or (Path(name).is_dir() and "/" in name):
        from panthorlab.kernel.build.external import import_build

        return import_build(Path(name).resolve(), log=log, progress=progress)
    return store.find(name)
