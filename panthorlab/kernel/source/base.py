# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree that the kernels of a run are based on, and the types for reading and changing its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Changes = Mapping[str, bytes | None]
"""New content of files, by path relative to the tree; None: the file is deleted."""


@dataclass(frozen=True)
class Base:
    """A private tree in the cache. `key`: content key of the source. `version`: `make kernelversion`.

    `title` and `commit` (a git commit id, or empty) are from the source named in this run; other sources may have the
    same content.
    """

    key: str
    title: str
    version: str
    path: Path
    has_fix: bool
    commit: str = ""
