# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that need an overlay, in a pytest run: which of them are left out or skipped since it is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from panthorlab.errors import LabError
from panthorlab.outcome import Blame, Outcome
from panthorlab.run import overlay_need
from panthorlab.run.job import Job
from panthorlab.run.record import BootEnd, Note, OfBoot

if TYPE_CHECKING:
    from panthorlab.run.session import Session


def leave_out(config: pytest.Config, job: Job, items: list[pytest.Item], emit: Callable[[OfBoot], None]) -> None:
    """Tests whose overlay an emulated board was not given are not run, and that is told. What a real board has, only
    it knows (`require`)."""
    from panthorlab.run.fleet import is_real

    folder = Path(job.overlay) if job.overlay else None
    left = [item for item in items if (name := overlay_need.needed_by(item)) and not overlay_need.is_in(folder, name)]
    if not left or is_real(job.board):
        return
    notes = [overlay_need.advice(name, count) for name, count in Counter(map(overlay_need.needed_by, left)).items()]
    for note in notes:
        emit(Note(text=note))
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
    if left and not items:
        emit(BootEnd(complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason="; ".join(notes), hint="",
                     final=True))
        pytest.exit("nothing can run without the overlay", returncode=LabError.exit_status)


def user_gave(config: pytest.Config, name: str) -> bool:
    """Whether plain pytest's board has the overlay `name`, or may have it: a real one is asked later."""
    from panthorlab.run.fleet import is_real

    return is_real(config.getoption("--board")) or overlay_need.is_in(overlay_of(config), name)


def overlay_of(config: pytest.Config) -> Path | None:
    """What plain pytest's `--overlay` names."""
    from panthorlab.run.overlays import overlay_dir
    from panthorlab.run.progress import Progress

    return overlay_dir(config.getoption("--overlay"), Progress(quiet=True))


def require(item: pytest.Item, booted: Session) -> None:
    """Of a real board; of an emulated one it is known before it boots."""
    from panthorlab.run.fleet import is_real

    name = overlay_need.needed_by(item)
    if name and is_real(booted.job_description.board) and not overlay_need.is_on(booted.board.shell, name):
        pytest.skip(overlay_need.advice(name, 1))
