# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages unpacked into the cache, for the board and the lab: nothing is installed, no root is needed."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from panthorlab import debs
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir

SUITE = "bookworm"
_DROPPED = (
    "share/doc",
    "share/man",
    "share/locale",
    "share/lintian",
    "share/bash-completion",
    "share/doc-base",
    "share/perl",
    "share/perl5",
    "share/i18n",
    "share/info",
)


def unpacked(packages: Sequence[str], architecture: str, on_progress: debs.ProgressCallback) -> Path:
    """The tree of `packages` and all they need, made once. Raises LabError."""
    base = cache_dir("virtual-lab")
    key = hashlib.sha256(" ".join((SUITE, architecture, *packages)).encode()).hexdigest()[:16]
    tree = base / f"packages-{key}"
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tree.is_dir():
            return tree
        on_progress(f"fetching {' '.join(packages)} ({architecture})")
        mirror = debs.debian_mirror()
        with tempfile.TemporaryDirectory(dir=base) as temporary:
            apt = debs.PackageResolver(Path(temporary, "apt"), mirror, [SUITE], architecture=architecture)
            paths = debs.download(apt.resolve(*packages), mirror, cache_dir("debs"), on_progress)
            root = Path(temporary, "root")
            root.mkdir()
            debs.unpack(paths, root)
            for name in _DROPPED:
                shutil.rmtree(root / "usr" / name, ignore_errors=True)
            root.rename(tree)
    return tree


def program(tree: Path, name: str) -> list[str]:
    """How to start a program of a tree on this machine: by the tree's own loader and libraries. Raises LabError."""
    loaders = [*sorted(tree.glob("usr/lib64/ld-linux-*.so.*")), *sorted(tree.glob("usr/lib/ld-linux-*.so.*"))]
    libraries = [str(path) for path in sorted(tree.glob("usr/lib/*-linux-gnu*")) if path.is_dir()]
    found = next(
        (tree / "usr" / folder / name for folder in ("bin", "sbin") if (tree / "usr" / folder / name).exists()), None
    )
    if not loaders or found is None:
        raise LabError(f"{tree} holds no `{name}`", hint=f"delete {tree} and try again")
    return [str(loaders[0]), "--library-path", ":".join(libraries), str(found)]
