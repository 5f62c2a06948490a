# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of boards there are: a new one is a row here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from panthorlab.board.board import Board
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.real.board import RealBoard
from panthorlab.checks import Check

KINDS: Final[Mapping[str, type[Board]]] = {"emulated": EmulatedBoard, "real": RealBoard}
"""By the value of `type:` in board files."""


def checks() -> tuple[Check, ...]:
    """What boards need on this machine, in the order to print. No check changes anything or uses the network."""
    return tuple(one for board in KINDS.values() for one in board.checks())


def is_emulated(kind: str) -> bool:
    """Whether boards of this kind are emulated; False for a kind that no longer exists."""
    return kind in KINDS and KINDS[kind].emulated
