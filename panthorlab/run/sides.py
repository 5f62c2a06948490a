# SPDX-License-Identifier: GPL-2.0-or-later
"""The two kernels that a command's options or a run's settings ask for, and who makes them for a run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.kernel.build.plan import SidePlan, Sides
from panthorlab.kernel.job import prepare_sides
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.run.hosts.crew import DoBuild
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Note, Settings
from panthorlab.run.record.log import EventLog


def sides_of(
    asked: argparse.Namespace | Settings,
    fragments: Sequence[str],
    *,
    progress: Progress = quiet,
    look: bool = False,
    intake: Intake | None = None,
) -> Sides:
    """As `job.prepare_sides`, with `fragments`. `intake`: what was asked for of patches, if it has been read."""
    return prepare_sides(
        asked.base,
        asked.patch or (),
        revert=asked.revert,
        swap=asked.swap,
        version=asked.patch_version,
        fragments=fragments,
        progress=progress,
        look=look,
        intake=intake,
    )


@dataclass(frozen=True)
class KernelMaker:
    """Makes kernels of the run in `_dir`, whose log says what becomes of them. `_build_by`: who builds."""

    _dir: Path
    _log: EventLog
    _settings: Settings
    _boards: Sequence[Board]
    _progress: ProgressDisplay
    _build_by: DoBuild

    def _sides(self, fragments: Sequence[str]) -> Sides:
        return sides_of(self._settings, fragments, progress=self._progress.step)

    def _build_side(self, plan: SidePlan, before: SidePlan | None = None) -> Kernel:
        log = self._dir / "build.log"
        return self._build_by(plan, log=log, progress=self._progress.step, note=self._note, before=before)

    def _note(self, text: str) -> None:
        self._log.append(Note(text=text))
        self._progress.note(text)
