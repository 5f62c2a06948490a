# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot on another host needs of the files of this one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, UsageError
from panthorlab.kernel import store
from panthorlab.run.hosts.parcels import KERNEL, Parcel
from panthorlab.run.hosts.places import HostPaths, shipped
from panthorlab.run.job import Job

MOST_BESIDE: Final = 64 << 20
"""Bytes that may lie beside a suite: they all go with it."""


def parcels_of(job: Job) -> list[Parcel]:
    """Kernel, overlay, board file, and suites but those that every panthorlab has. Raises UsageError, LabError."""
    kernel = store.load(job.kernel)
    if kernel is None:
        raise LabError(f"the kernel {job.kernel[:12]} is no longer in the store", hint="build it again")
    found = [Parcel(KERNEL, kernel.key, kernel.path, tuple(sorted(path.name for path in kernel.path.iterdir())))]
    if job.overlay is not None:
        found.append(Parcel.of("overlay", Path(job.overlay)))
    here = set(shipped().values())
    folders = sorted({Path(suite).parent for suite in job.suites} - here)
    wanted: dict[Path, set[str]] = {folder: _beside(folder) for folder in folders}
    for file in (job.board, job.coverage):
        if file is not None:
            wanted.setdefault(Path(file).parent, set()).add(Path(file).name)
    found += [Parcel.of(f"files-{number}", root, names) for number, (root, names) in enumerate(wanted.items(), 1)]
    return found


def places_of(job: Job, parcels: list[Parcel]) -> HostPaths:
    """The names that both hosts use for these, and for the directories of run and boot."""
    own = {"log": Path(job.log_dir), "run": Path(job.run_dir)}
    return HostPaths({**shipped(), **{parcel.name: parcel.root for parcel in parcels}, **own})


def _beside(folder: Path) -> set[str]:
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    if size > MOST_BESIDE:
        raise UsageError(
            f"{folder} has {size >> 20} MiB beside a suite, and all of it would go to the hosts",
            hint="give the suite a directory of its own, with what it reads",
        )
    return {path.name for path in folder.iterdir() if path.name != "__pycache__"}
