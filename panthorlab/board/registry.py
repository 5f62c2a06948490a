# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards by name: which ones exist, and how to open one."""

from __future__ import annotations

from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.board.config import read_board_file
from panthorlab.board.kinds import KINDS
from panthorlab.board.yamlfile import close_match
from panthorlab.errors import UsageError
from panthorlab.paths import data_dirs, hint_here


def board_files() -> dict[str, Path]:
    """Every board file that can be found, by board name; a later directory of `data_dirs` overrides an earlier one."""
    return {file.stem: file for folder in data_dirs("board_configs") for file in sorted(folder.glob("*.yaml"))}


def find_board_file(name: str) -> Path:
    """The file of board `name`, or `name` itself if it is a path to a `.yaml` file. Raises UsageError."""
    if _is_path(name):
        return Path(name)
    files = board_files()
    if name not in files:
        here = hint_here("board_configs", f"{name}.yaml", "--board")
        raise UsageError(
            f"there is no board `{name}`",
            hint=here or close_match(name, list(files)) or f"boards: {', '.join(files) or 'none found'}",
        )
    return files[name]


def board_name(name: str) -> str:
    """The name of the board called `name`, which may be the path of its file."""
    return Path(name).stem if _is_path(name) else name


def open_board(name: str) -> Board:
    """The board called `name`, not yet running; only its file is read. Raises UsageError (unknown board) or
    ConfigError (error in its file)."""
    path = find_board_file(name)
    file = read_board_file(path)
    return KINDS[file.type](path.stem, file, path=path, key=name)


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))
