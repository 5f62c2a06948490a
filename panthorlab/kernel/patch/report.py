# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of applying patches: how each fits a tree, and what it changes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from panthorlab.errors import PatchError
from panthorlab.kernel.source.base import Changes


class Fit(StrEnum):
    """How a patch fits a tree."""

    APPLIES = "applies"
    APPLIES_INEXACTLY = "applies with fuzz or offset"
    ALREADY = "already applied"
    OTHER_FORM = "applied in another form"
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True)
class FileFit:
    """How the part of a patch fits that changes one file. `detail`: where its hunks went, or why they do not fit."""

    file: str
    fit: Fit
    detail: str = ""


@dataclass(frozen=True)
class PatchReport:
    """Result for one patch. `detail`: one line for people, e.g. `panthor_sched.c hunk 1: offset -244, fuzz 1`.

    `changes`: the files as the patch leaves them (empty unless it applies). `files`: every file it names. `fits`: of
    each file, how it fits by itself. `message_id`: of the mail it came in.
    """

    title: str
    origin: str
    fit: Fit
    detail: str
    files: tuple[str, ...]
    changes: Changes = field(default_factory=dict)
    reverse: bool = False
    fits: tuple[FileFit, ...] = ()
    message_id: str | None = None

    @property
    def summary(self) -> str:
        """`TITLE: applies with fuzz or offset (…)`."""
        how = f" ({self.detail})" if self.detail else ""
        word = "reverse " if self.reverse else ""
        return f"{self.title}: {word}{self.fit}{how}"


class UnfitError(PatchError):
    """Patches that do not fit their base. `reports`: the result of each that was tried."""

    def __init__(self, message: str, *, hint: str | None, reports: Sequence[PatchReport], notes: Sequence[str]) -> None:
        super().__init__(message, hint=hint)
        self.reports, self.notes = tuple(reports), tuple(notes)
