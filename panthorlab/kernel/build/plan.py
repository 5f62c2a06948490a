# SPDX-License-Identifier: GPL-2.0-or-later
"""What is going to be built: base, patches and the two sides of a comparison, decided before any compiler runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from panthorlab.errors import PatchError
from panthorlab.kernel.build.toolchain import Toolchain
from panthorlab.kernel.patch.series import Intake
from panthorlab.outcome import Side

Changes = Mapping[str, bytes | None]
"""New content of files, by path relative to the tree; None: the file is deleted."""


class Progress(Protocol):
    """Told what is being done; `done` of `total` in units of the step (bytes, compiler runs), if known."""

    def __call__(self, step: str, done: int | None = None, total: int | None = None, /) -> None: ...


def quiet(_step: str, _done: int | None = None, _total: int | None = None, /) -> None:
    """A Progress that says nothing."""


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
    """What became of one patch. `detail`: one line for people, e.g. `panthor_sched.c hunk 1: offset -244, fuzz 1`.

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
    """Patches that do not fit their base. `reports`: what became of each that was tried."""

    def __init__(self, message: str, *, hint: str | None, reports: Sequence[PatchReport], notes: Sequence[str]) -> None:
        super().__init__(message, hint=hint)
        self.reports, self.notes = tuple(reports), tuple(notes)


@dataclass(frozen=True)
class Base:
    """A private tree in the cache. `key`: content key of the source. `version`: `make kernelversion`.

    `title` and `commit` (a git commit id, or empty) are those of the source that was named this time: others may have
    the same content.
    """

    key: str
    title: str
    version: str
    path: Path
    has_fix: bool
    commit: str = ""


@dataclass(frozen=True)
class SidePlan:
    """One kernel to build. `changes`: all it changes in the base; `reports`: the patches that make them.

    `key` is the store key; a kernel under it needs no building. `debug_info`: what is compiled with it, directories
    (`DIR/`) and C files.
    """

    side: Side
    key: str
    core_key: str
    title: str
    base: Base
    changes: Changes
    reports: tuple[PatchReport, ...]
    fragments: tuple[Path, ...]
    config_key: str
    arch: str
    toolchain: Toolchain
    debug_info: tuple[str, ...] = ()

    @property
    def patches(self) -> tuple[str, ...]:
        """Titles of the patches on this side, as `Kernel.patches` keeps them."""
        return tuple(f"Revert: {report.title}" if report.reverse else report.title for report in self.reports)


@dataclass(frozen=True)
class Sides:
    """The two kernels of a comparison. `notes`: one line each, for people. `default_job`: no patch was given.

    `intake`: the series that were given, and what they say of themselves.
    """

    before: SidePlan
    after: SidePlan
    reports: tuple[PatchReport, ...]
    notes: tuple[str, ...]
    default_job: bool
    intake: Intake = field(default_factory=Intake)

    @property
    def base(self) -> Base:
        return self.before.base
