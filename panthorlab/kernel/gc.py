# SPDX-License-Identifier: GPL-2.0-or-later
"""Limiting the size of the cache: least recently used items are removed first, none that was used within a day."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from panthorlab.kernel import store
from panthorlab.paths import cache_dir

LIMIT_BYTES = 30_000_000_000
IN_USE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Item:
    """Something that can be removed and rebuilt. `used`: Unix time of last use. `lock`: held by its users.

    `junk`: what a killed run left; removed however small the cache is.
    """

    path: Path
    used: float
    lock: Path | None = None
    junk: bool = False

    def size(self) -> int:
        """Bytes on disk."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.lstat().st_blocks * 512 for file in files)


def items() -> Iterator[Item]:
    """Everything that can be removed separately: kernels, trees with objects, maps of lines, what killed runs left."""
    for path in store.directories():
        yield Item(path, _used(path, store.RECORD))
    for home in cache_dir("trees").iterdir():
        if home.is_dir() and not home.name.startswith("new-"):
            yield Item(home, _used(home, "base.json"), home.with_name(f"{home.name}.lock"))
    for path in (*cache_dir("prebuilt").iterdir(), *cache_dir("maps").iterdir()):
        if not path.name.startswith(("new-", ".")):
            yield Item(path, path.stat().st_mtime)
    for folder, pattern in (
        ("kernels", "new-*"),
        ("trees", "new-*"),
        ("prebuilt", "new-*"),
        ("programs", "new-*"),
        ("maps", ".*"),
        ("downloads", "*"),
    ):
        for path in cache_dir(folder).glob(pattern):
            yield Item(path, path.stat().st_mtime, junk=True)


def collect(limit: int = LIMIT_BYTES, keep: frozenset[Path] = frozenset()) -> list[Path]:
    """Remove least recently used items until at most `limit` bytes are left; not locked, fresh or `keep` ones."""
    everything = sorted(items(), key=lambda item: item.used)
    sizes = {item: item.size() for item in everything}
    total, removed = sum(sizes.values()), []
    for item in everything:
        if time.time() - item.used < IN_USE_SECONDS:
            break
        if (item.junk or total > limit) and item.path not in keep and _remove(item):
            removed.append(item.path)
            total -= sizes[item]
    return removed


def collect_daily(keep: frozenset[Path] = frozenset()) -> list[Path]:
    """`collect`, unless that was done within a day: measuring a few trees takes seconds."""
    stamp = cache_dir() / "collected"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < IN_USE_SECONDS:
        return []
    stamp.touch()
    return collect(keep=keep)


def _remove(item: Item) -> bool:
    if item.lock is None:
        doomed = item.path.with_name(f"new-gone-{item.path.name.removeprefix('new-')}")
        item.path.rename(doomed)  # first out of sight, so that nobody finds half of it
        _delete(doomed)
        return True
    with item.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (item.path / "base.json").unlink(missing_ok=True)
        _delete(item.path)
        return True


def _used(home: Path, record: str) -> float:
    path = home / record
    return (path if path.exists() else home).stat().st_mtime


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
