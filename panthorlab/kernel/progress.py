# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress reports of long operations."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is being done; `done` of `total` in units of the step (bytes, compiler runs), if known."""

    def __call__(self, step: str, done: int | None = None, total: int | None = None, /) -> None: ...


def quiet(_step: str, _done: int | None = None, _total: int | None = None, /) -> None:
    """A Progress that says nothing."""
