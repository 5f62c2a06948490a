# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of boards: what the code above asks of one, whichever it is, and that it asks for nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import get_args

import pytest

from panthorlab.board.board import Board, Patience
from panthorlab.board.boardtime import TimeName
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.fields import BoardFile
from panthorlab.board.kinds import KINDS, is_emulated
from panthorlab.board.lab import LeaseState
from panthorlab.board.registry import board_files, open_board
from panthorlab.errors import UsageError

PACKAGE = Path(__file__).parents[3] / "panthorlab"
HOUSES = tuple(sorted(board.__module__.rpartition(".")[0] for board in KINDS.values()))
OPEN = ("panthorlab.board.emulated.overlay",)
"""Of the houses, what the code above may use: overlays are made without any board."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_what_its_files_say(kind: str) -> None:
    assert issubclass(KINDS[kind].model, BoardFile)
    assert get_args(KINDS[kind].model.model_fields["type"].annotation) == (kind,)
    assert is_emulated(kind) is KINDS[kind].emulated
    assert not is_emulated("none of these")


def test_the_emulated_board_lives_in_exact_time_unless_it_has_no_gpu_to_lead_it() -> None:
    def board(**keys: object) -> EmulatedBoard:
        return EmulatedBoard("a", EmulatedFile.model_validate({"type": "emulated", **keys}))

    assert board().time_for(None) is TimeName.EXACT
    assert board(time="host").time_for(None) is TimeName.HOST
    assert board().time_for(TimeName.HOST) is TimeName.HOST
    assert board(gpu=None).time_for(None) is TimeName.HOST
    assert board(gpu=None).time_for(TimeName.EXACT) is TimeName.EXACT, "which is refused with the reason when it boots"


@pytest.mark.parametrize("name", sorted(board_files()))
def test_every_shipped_board_answers_everything(name: str) -> None:
    board = open_board(name)
    assert isinstance(board, KINDS[board.file.type])
    assert (board.name, board.key, board.arch) == (name, name, "arm64")
    assert board.traits >= {name, board.file.type}
    assert board.row()["name"] == name
    assert board.row()["file"] == str(board.path)
    assert set(board.row()) - {"methods"} == {
        "name",
        "file",
        "type",
        "description",
        "tags",
        "unverified",
        "state",
        "why",
        "lease",
        "quarantine",
        "health",
    }
    assert board.example or board.standing().state is LeaseState.FREE
    assert not (board.emulated and board.hardware())


def test_what_a_kind_does_not_override_is_careful() -> None:
    """A kind that says nothing of itself is in no lab, is one, takes nothing, counts nothing."""

    class Quiet(Board):
        model = EmulatedFile
        boot = EmulatedBoard.boot

    quiet = Quiet("quiet", EmulatedFile.model_validate({"type": "emulated"}))
    assert not any((quiet.emulated, quiet.copies, quiet.bare, quiet.takes_params, quiet.counts, quiet.example))
    assert quiet.patience == Patience()
    assert quiet.checks() == ()
    quiet.check_ready()
    for refused in (
        quiet.check_in_lab,
        lambda: quiet.check_method("kexec"),
        lambda: quiet.trust(lambda _text: True),
        lambda: quiet.train(None, lambda _text: None),
    ):
        with pytest.raises(UsageError, match="board quiet is"):
            refused()


ABOVE = [file for file in sorted(PACKAGE.rglob("*.py")) if file.relative_to(PACKAGE).parts[0] != "board"]


@cache
def _nodes(file: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(file.read_text())))


def _imports(file: Path) -> Iterator[str]:
    for node in _nodes(file):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_nobody_above_looks_into_a_kind() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in ABOVE
        for name in _imports(file)
        if name.startswith(HOUSES) and not name.startswith(OPEN)
    ]
    assert len(ABOVE) > 100
    assert not found


def _tested_types(file: Path) -> Iterator[str]:
    """What a module asks values whether they are: names in `isinstance`, `issubclass`, `type(…) is` and `case …():`."""
    for node in _nodes(file):
        kinds: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kinds = node.args[1:] if node.func.id in ("isinstance", "issubclass") else []
        elif isinstance(node, ast.Compare) and any(
            isinstance(part, ast.Name) and part.id == "type" for part in ast.walk(node.left)
        ):
            kinds = node.comparators
        elif isinstance(node, ast.MatchClass):
            kinds = [node.cls]
        for kind in kinds:
            yield from (name for part in ast.walk(kind) if (name := getattr(part, "id", getattr(part, "attr", ""))))


def test_nobody_above_asks_whether_it_is_a_certain_board() -> None:
    """Nor does it by way of a class that the interface itself has."""
    names = {name for file in ABOVE for name in _imports(file) if name.startswith("panthorlab.board")}
    boards = {name.rpartition(".")[2] for name in names} | {"Board", "BoardFile", "BootedBoard", "KINDS"}
    found = [f"{file.relative_to(PACKAGE)}: {name}" for file in ABOVE for name in _tested_types(file) if name in boards]
    assert not [text for text in found if not text.endswith("Error")]


def test_the_houses_do_not_know_each_other() -> None:
    assert HOUSES[:1] == ("panthorlab.board.emulated",)
    for house, other in permutations(HOUSES, 2):
        folder = PACKAGE.parent / house.replace(".", "/")
        assert not [
            f"{file.name}: {name}" for file in folder.rglob("*.py") for name in _imports(file) if name.startswith(other)
        ]
