# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a build: base, patches and the two sides of a comparison, decided before any compiler runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.kernel.build.toolchain import Toolchain
from panthorlab.kernel.patch.report import PatchReport
from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.source.base import Base, Changes
from panthorlab.outcome import Side


@dataclass(frozen=True)
class SidePlan:
    """One kernel to build. `changes`: all it changes in the base; `reports`: the patches that make them;
    `executable`: which changed files can be run, where that is known.

    `key` is the store key; a kernel under it needs no building. `debug_info`, `profiled`: what is compiled with debug
    information, and so that it counts for gcov: directories (`DIR/`) and C files.
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
    profiled: tuple[str, ...] = ()
    executable: Mapping[str, bool] = field(default_factory=dict)

    @property
    def patches(self) -> tuple[str, ...]:
        """Titles of the patches on this side, as `Kernel.patches` keeps them."""
        return tuple(f"Revert: {report.title}" if report.reverse else report.title for report in self.reports)


@dataclass(frozen=True)
class Sides:
    """The two kernels of a comparison. `notes`: one line each, for people. `default_job`: no patch was given.

    `intake`: the series that were given, with their metadata.
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
