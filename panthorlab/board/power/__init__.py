# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching a board's power: one small driver a kind of switch, and the care that all of them need."""

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
    """The switch that `section` of the file of `board` describes. Nothing is switched, nothing is connected to.

    `state_dir`: where the last time of switching the board off is kept for other processes.
    Raises LabError when a secret that `section` names is not in the environment.
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
