# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished kernels in the cache, immutable and complete or not there: `kernels/KEY/` with `kernel.json`.

A directory of the store is made under another name and renamed when all of it is written.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from panthorlab.errors import UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.tools import disk_errors
from panthorlab.paths import cache_dir, cache_path

RECORD = "kernel.json"


def store_dir() -> Path:
    return cache_dir("kernels")


def load(key: str) -> Kernel | None:
    """The kernel stored under exactly this key, marked as used just now."""
    record = store_dir() / key / RECORD
    try:
        kernel = read_record(record)
        os.utime(record)
    except FileNotFoundError:
        return None
    return kernel


def has(key: str) -> bool:
    """Whether a kernel is stored under exactly this key; nothing is touched."""
    return cache_path("kernels", key, RECORD).is_file()


def read_record(record: Path) -> Kernel:
    data: dict[str, Any] = json.loads(record.read_text())
    return Kernel(
        key=data["key"], path=record.parent, arch=data["arch"], release=data["release"], build_id=data["build_id"],
        title=data["title"], modules=data["modules"], digests=data["digests"], patches=tuple(data["patches"]),
        fragments=tuple(data["fragments"]),
    )


def write_record(kernel: Kernel, core_key: str) -> None:
    """Write `kernel.json` into the (still unpublished) directory of the kernel."""
    data = {**asdict(kernel), "core_key": core_key}
    del data["path"]
    (kernel.path / RECORD).write_text(json.dumps(data, indent=1))


def new_directory() -> Path:
    """An empty directory to fill and `publish`."""
    path = Path(tempfile.mkdtemp(prefix="new-", dir=store_dir()))
    path.chmod(0o755)
    return path


def publish(scratch: Path, key: str) -> Kernel:
    """Make a filled directory the kernel of `key`, in one step. If another run was faster, its kernel is taken."""
    target = store_dir() / key
    with disk_errors():
        try:
            scratch.rename(target)
        except OSError:
            if not (target / RECORD).exists():
                raise
            shutil.rmtree(scratch)
    return read_record(target / RECORD)


def kernels() -> Iterator[Kernel]:
    """All kernels of the store, last used first."""
    records = [path for path in store_dir().glob(f"*/{RECORD}") if not path.parent.name.startswith("new-")]
    for record in sorted(records, key=lambda path: path.stat().st_mtime, reverse=True):
        yield read_record(record)


def with_core(core_key: str) -> Kernel | None:
    """A stored kernel that differs from the wanted one in its guest programs at most."""
    for record in store_dir().glob(f"*/{RECORD}"):
        if not record.parent.name.startswith("new-") and json.loads(record.read_text()).get("core_key") == core_key:
            return read_record(record)
    return None


def find(prefix: str) -> Kernel:
    """The kernel whose key starts with `prefix`. Raises UsageError if there is none, or more than one."""
    found = [kernel for kernel in kernels() if prefix and kernel.key.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{kernel.key[:12]} ({kernel.title})" for kernel in found or list(kernels())[:5])
    if found:
        raise UsageError(f"{prefix} could be any of {known}", hint="give more digits of the key")
    raise UsageError(
        f"no kernel {prefix!r} in the store, and no build directory of that name",
        hint=f"the last ones: {known}" if known else "the store is empty; `panthorlab build` fills it",
    )
