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
    from panthorlab.board.board import Board
    from panthorlab.run.session import Session


def leave_out(
    config: pytest.Config,
    job: Job,
    find_board: Callable[[], Board],
    items: list[pytest.Item],
    emit: Callable[[OfBoot], None],
) -> None:
    """Tests whose overlay a bare board was not given are not run, and that is told. What another board has, only it
    knows (`require`)."""
    folder = Path(job.overlay) if job.overlay else None
    left = [item for item in items if (name := overlay_need.needed_by(item)) and not overlay_need.is_in(folder, name)]
    if not left or not find_board().bare:
        return
    notes = [overlay_need.advice(name, count) for name, count in Counter(map(overlay_need.needed_by, left)).items()]
    for note in notes:
        emit(Note(text=note))
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
    if left and not items:
        emit(
            BootEnd(
                complete=False, outcome=Outcome.ERROR, blame=Blame.LAB, reason="; ".join(notes), hint="", final=True
            )
        )
        pytest.exit("nothing can run without the overlay", returncode=LabError.exit_status)


def user_gave(config: pytest.Config, board: Board, name: str) -> bool:
    """Whether plain pytest's board has the overlay `name`, or may have it: one that is not bare is asked later."""
    return not board.bare or overlay_need.is_in(overlay_of(config), name)


def overlay_of(config: pytest.Config) -> Path | None:
    """What plain pytest's `--overlay` names."""
    from panthorlab.run.overlays import overlay_dir
    from panthorlab.run.progress import ProgressDisplay

    return overlay_dir(config.getoption("--overlay"), ProgressDisplay(quiet=True))


def require(item: pytest.Item, board: Board, booted: Session) -> None:
    """Of a board that has more than it is given; of a bare one it is known before it boots."""
    name = overlay_need.needed_by(item)
    if name and not board.bare and not overlay_need.is_on(booted.board.shell, name):
        pytest.skip(overlay_need.advice(name, 1))
