# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeping the cache small: whatever was not used for longest goes first."""

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
ABANDONED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Item:
    """Something that can be removed and made again. `used`: Unix time of last use."""

    path: Path
    used: float
    size: int
    lock: Path | None = None


def items() -> Iterator[Item]:
    """Everything in the cache that can be removed by itself: kernels, trees with their objects, leftovers."""
    for record in store.store_dir().glob(f"*/{store.RECORD}"):
        yield Item(record.parent, record.stat().st_mtime, _size(record.parent))
    for record in cache_dir("trees").glob("*/base.json"):
        home = record.parent
        yield Item(home, record.stat().st_mtime, _size(home), home.with_name(f"{home.name}.lock"))
    for folder in (store.store_dir(), cache_dir("trees"), cache_dir("downloads")):
        for path in folder.iterdir():
            left_over = path.name.startswith("new-") or folder.name == "downloads"
            if left_over and time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                yield Item(path, 0.0, _size(path))


def collect(limit: int = LIMIT_BYTES, keep: frozenset[Path] = frozenset()) -> list[Path]:
    """Remove the longest unused until at most `limit` bytes are left. What another run has locked, or `keep`, stays."""
    everything = sorted(items(), key=lambda item: item.used)
    total = sum(item.size for item in everything)
    removed = []
    for item in everything:
        if total <= limit:
            break
        if item.path not in keep and _remove(item):
            removed.append(item.path)
            total -= item.size
    return removed


def _remove(item: Item) -> bool:
    if item.lock is None:
        doomed = item.path.with_name(f"new-gone-{item.path.name}")
        item.path.rename(doomed)  # first out of sight, so that nobody finds half of it
        _delete(doomed)
        return True
    with item.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (item.path / "base.json").unlink()
        _delete(item.path)
        return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _size(path: Path) -> int:
    files = [path] if path.is_file() else (file for file in path.rglob("*") if not file.is_symlink())
    return sum(file.stat().st_blocks * 512 for file in files)
