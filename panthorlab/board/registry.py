# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards by name: which there are, and the one that is asked for."""

from __future__ import annotations

from pathlib import Path

from panthorlab.board.api import Board
from panthorlab.board.config import read_board_file
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.real.file import RealFile
from panthorlab.board.yamlfile import close_match
from panthorlab.errors import UsageError
from panthorlab.paths import data_dirs, hint_here


def board_files() -> dict[str, Path]:
    """Every board file that can be found, by board name; a later directory of `data_dirs` overrides an earlier one."""
    return {file.stem: file for folder in data_dirs("board_configs") for file in sorted(folder.glob("*.yaml"))}


def find_board_file(name: str) -> Path:
    """The file of board `name`, or `name` itself if it is a path to a `.yaml` file. Raises UsageError."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    files = board_files()
    if name not in files:
        here = hint_here("board_configs", f"{name}.yaml", "--board")
        raise UsageError(f"there is no board `{name}`",
                         hint=here or close_match(name, list(files)) or f"boards: {', '.join(files) or 'none found'}")
    return files[name]


def board_name(name: str) -> str:
    """The name of the board called `name`, which may be the path of its file."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def open_board(name: str) -> Board:
    """The board called `name`, not yet running. Raises UsageError (unknown) or ConfigError (its file is wrong)."""
    file = find_board_file(name)
    described = read_board_file(file)
    if isinstance(described, RealFile):
        from panthorlab.board.real.board import RealBoard  # what it needs (SSH, HTTP) costs start-up time

        return RealBoard(file.stem, described)
    return EmulatedBoard(file.stem, described)
