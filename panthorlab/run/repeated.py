# SPDX-License-Identifier: GPL-2.0-or-later
"""Up to which program a test is repeated: the one that failed it, and not what its clean-up ran behind that."""

from __future__ import annotations


class Repeated:
    """Programs of one test, as their markers in the kernel log name them."""

    def __init__(self) -> None:
        self._last = self._failed = ""

    def begins(self, program: str) -> None:
        self._last = program

    def fails(self) -> None:
        """The last one that began does, or leaves in the log what it should not."""
        self._failed = self._failed or self._last

    @property
    def wanted(self) -> str:
        """The first that failed, or else the last one; empty if none ran."""
        return self._failed or self._last
