# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding and removing damaged parts of the cache; all of them can be rebuilt."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from panthorlab.files import read_object
from panthorlab.kernel import store
from panthorlab.kernel.source.trees import is_sound
from panthorlab.paths import cache_dir

MAKING_SECONDS = 3600.0  # a `new-…` that nobody has written to for longer than this was left by a killed run


@dataclass(frozen=True)
class Damage:
    """Something in the cache that is not what it should be. `name`: relative to the cache. `why`: for people."""

    name: str
    path: Path
    why: str
    lock: Path | None = None


def damaged() -> list[Damage]:
    """Every damaged kernel, tree and note of the cache. Reads all kernels: 50 ms each."""
    return sorted([*_kernels(), *_trees(), *_notes()], key=lambda item: item.name)


def counts() -> tuple[int, int]:
    """Number of kernels and of trees, damaged or not."""
    return len(store.directories()), sum(1 for _ in _homes())


def repair() -> list[str]:
    """Remove what is damaged and what killed runs left. Returns a line for each. What a run is using stays."""
    done = []
    for item in damaged():
        if _remove(item.path, item.lock):
            done.append(f"{item.name}: {item.why}; removed")
    for path in _left_behind():
        if _remove(path, None):
            aside = path.name.startswith(store.ASIDE)
            why = "damaged, and moved aside by a run" if aside else "left by a run that was killed"
            done.append(f"{path.relative_to(cache_dir())}: {why}; removed")
    return done


def _kernels() -> Iterator[Damage]:
    for path in store.directories():
        kernel, why = store.examine(path)
        if kernel is None:
            yield Damage(f"kernels/{path.name}", path, why)


def _homes() -> Iterator[Path]:
    return (path for path in cache_dir("trees").iterdir() if path.is_dir() and not path.name.startswith("new-"))


def _trees() -> Iterator[Damage]:
    for home in _homes():
        if not is_sound(home):
            yield Damage(
                f"trees/{home.name}",
                home,
                "base.json is missing or cannot be read",
                home.with_name(f"{home.name}.lock"),
            )


def _notes() -> Iterator[Damage]:
    """Damaged notes about downloads."""
    for path in cache_dir("sources").glob("*.json"):
        if read_object(path) is None:
            yield Damage(f"sources/{path.name}", path, "it cannot be read")


def _left_behind() -> Iterator[Path]:
    for folder in ("kernels", "trees", "prebuilt"):
        for path in sorted(cache_dir(folder).glob("new-*")):
            if path.name.startswith(store.ASIDE) or time.time() - path.stat().st_mtime > MAKING_SECONDS:
                yield path


def _remove(path: Path, lock: Path | None) -> bool:
    if lock is None:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return True
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(path)
        return True
