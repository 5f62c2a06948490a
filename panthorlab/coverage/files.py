# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files are measured, and their names, independent of where the tree was when it was compiled."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from panthorlab.coverage.model import DRIVER


@dataclass(frozen=True)
class Wanted:
    """The files below `driver` in the kernel tree, and `others`: files by their path in it."""

    driver: str = DRIVER
    others: frozenset[str] = frozenset()

    def name(self, path: str) -> str | None:
        """A path as from the top of the tree; None for a file not wanted."""
        _, found, name = path.rpartition(self.driver)
        if found:
            return found + name
        return next((other for other in self.others if f"/{path}".endswith(f"/{other}")), None)


def whole(directory: str, *parts: str) -> str:
    """The path that `parts` name, seen from the directory in which the compiler ran."""
    return posixpath.normpath(posixpath.join(directory, *parts))
