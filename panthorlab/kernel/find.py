# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding a kernel by the name that the user gives."""

from __future__ import annotations

from pathlib import Path

from panthorlab.kernel import store
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.source.prebuilt import fetch, is_url, parse


def find_kernel(name: str, *, log: Path, progress: Progress = quiet) -> Kernel:
    """`name`: a store key or a unique prefix of one, a kernel's directory in a store, or a build directory (O= of a
    finished build, see `external.import_build`), or the URL of such a one (see `prebuilt`).

    Raises UsageError, BuildError, LabError.
    """
    if is_url(name):
        from panthorlab.kernel.build.external import import_build

        return import_build(fetch(parse(name), progress), log=log, progress=progress)
    if (record := Path(name, store.RECORD)).is_file():
        return store.read_record(record)
    if (Path(name) / "vmlinux").exists() or (Path(name).is_dir() and "/" in name):
        from panthorlab.kernel.build.external import import_build

        return import_build(Path(name).resolve(), log=log, progress=progress)
    return store.find(name)
