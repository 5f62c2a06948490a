# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things live on the host: the private cache, and the data directories shipped with the package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from panthorlab.errors import LabError

PACKAGE = Path(__file__).resolve().parent


def cache_path(*parts: str) -> Path:
    """`$XDG_CACHE_HOME/panthorlab/…`, whether it is there or not: for those who only look."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "panthorlab", *parts)


def settle_cache() -> None:
    """Let a relative `$XDG_CACHE_HOME` mean the same to every process of ours, wherever that runs. Raises LabError."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        try:
            os.environ["XDG_CACHE_HOME"] = str(Path(base).absolute())
        except OSError as error:
            raise LabError(
                f"XDG_CACHE_HOME is {base}, and there is no current directory: {error.strerror}",
                hint="name it from / on, or go to a directory that is there",
            ) from error


def cache_dir(*parts: str) -> Path:
    """`$XDG_CACHE_HOME/panthorlab/…`, created private to the user (mode 0700). Raises LabError."""
    root, path = cache_path(), cache_path(*parts)
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabError(
            f"the cache {path} cannot be made: {error.strerror}",
            hint="set XDG_CACHE_HOME to a directory that you may write to",
        ) from error
    return path


def data_dirs(name: str) -> Iterator[Path]:
    """Directories called `name` (`suites`, `board_configs`, `kernel_configs`), most specific last.

    Beside the package (a checkout or an installed wheel), then in `$PANTHORLAB_PATH`. Not in the current directory: it
    may be somebody else's checkout, and suites are programs, board files name some.
    """
    seen: set[Path] = set()
    roots = [PACKAGE.parent, PACKAGE / "_data"]
    roots += [Path(entry) for entry in os.environ.get("PANTHORLAB_PATH", "").split(os.pathsep) if entry]
    for root in roots:
        path = (root / name).resolve()
        if path.is_dir() and path not in seen:
            seen.add(path)
            yield path


def find_data(name: str, file: str) -> Path | None:
    """The last of `data_dirs(name)` that holds `file` wins, so users can override what is shipped."""
    found = [path / file for path in data_dirs(name) if (path / file).is_file()]
    return found[-1] if found else None


def hint_here(name: str, file: str, option: str) -> str | None:
    """What to write if the current directory has what was looked for in vain."""
    if not (Path.cwd() / name / file).is_file():
        return None
    return f"there is {name}/{file} here: use {option} ./{name}/{file}, or set PANTHORLAB_PATH=."
