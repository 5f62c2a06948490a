# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching a board's power: one small driver per kind of switch, and the supervision that all of them need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from panthorlab.board.power.file import PowerSection
    from panthorlab.board.power.supervised import SupervisedPower

__all__ = ["open_power"]


def open_power(
    section: PowerSection, *, board: str, state_dir: Path, progress: Callable[[str], None]
) -> SupervisedPower:
    """The switch that `section` of the file of `board` describes. Neither switches nor connects.

    `state_dir`: where the time of the last switching off is kept for other processes.
    Raises LabError if a secret that `section` names is not in the environment.
    """
    from panthorlab.board.power.drivers import make_switch  # what it needs (requests) costs start-up time
    from panthorlab.board.power.supervised import SupervisedPower

    return SupervisedPower(
        make_switch(section, board),
        board=board,
        section=section,
        progress=progress,
        memory=state_dir / f"{board}.power.json",
    )
