# SPDX-License-Identifier: GPL-2.0-or-later
"""The boards of a run: chosen by `--board` or `--tag`, checked to be comparable, their files read once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board import lab
from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import board_files, open_board
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.run.record import Settings

DEFAULT: Final = "qemu-g610"
COVERAGE: Final = "coverage"
"""The fragment that `--coverage` needs on boards that count instructions."""
GCOV: Final = "gcov"
"""The one with which a kernel counts by itself, on any board."""


@dataclass(frozen=True)
class Fleet:
    """Boards, and what a reader of the result must know about the choice."""

    boards: tuple[Board, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lane:
    """One board that takes a run's slots, one after the other. `wait`: seconds to wait for a board that is leased."""

    board: Board
    wait: float = 0.0


def named(options: argparse.Namespace) -> tuple[Board, ...]:
    """The boards that `--board` names, whether they can be had or not. Raises UsageError, ConfigError."""
    return tuple(open_board(_lasting(board)) for board in options.board or [DEFAULT])


def _lasting(board: str) -> str:
    """A path is kept whole: the run may be resumed from elsewhere, and its workers live in directories of their own."""
    return str(Path(board).resolve()) if board.endswith((".yaml", ".yml")) else board


def choose(options: argparse.Namespace) -> Fleet:
    """The boards that `--board` and `--tag` mean. Raises UsageError, or LabError if none that would do is free."""
    if options.board and options.tag:
        raise UsageError("--board and --tag are two ways to say the same", hint="give one of them")
    chosen = _tagged(options.tag) if options.tag else Fleet(named(options))
    names = [board.name for board in chosen.boards]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"--board {twice} is given twice",
            hint="--jobs runs several copies of an emulated board; a real one is only there once",
        )
    _check_alike(chosen.boards)
    for board in chosen.boards:
        board.check_ready(options.boot_method)
        board.check_time(options.time)
    return chosen


def choose_one(options: argparse.Namespace) -> Board:
    """As `choose`, for what needs a single board: of several with a tag, the first."""
    if len(options.board or ()) > 1:
        raise UsageError("a command runs on one board", hint="give --board once")
    return choose(options).boards[0]


def _tagged(tag: str) -> Fleet:
    free: list[Board] = []
    busy, examples, notes = [], [], []
    for name in sorted(board_files()):
        try:
            board = open_board(name)
        except PanthorlabError as error:
            notes.append(f"board {name} is left out: {error}")
            continue
        if tag not in board.file.tags:
            continue
        if board.example:
            examples.append(name)
            continue
        now = board.standing()
        if now.state is lab.LeaseState.FREE:
            free.append(board)
        else:
            busy.append(f"board {name} is left out: {now.state} {now.why}")
    if not free and not busy:
        only = f"; only examples have, whose files say no place: {', '.join(examples)}" if examples else ""
        raise UsageError(
            f"no board has the tag `{tag}`{only}", hint="`panthorlab boards --json` lists boards and their tags"
        )
    if not free:
        raise LabError(
            f"no board with the tag `{tag}` is free: {'; '.join(busy)}",
            hint="--board NAME waits for one that is leased",
        )
    return Fleet(tuple(free), (*busy, *notes))


def _check_alike(boards: Sequence[Board]) -> None:
    """One pair of kernels must do for all of them. Raises UsageError."""
    needs = [(board.arch, *board.kernel_configs) for board in boards]
    if len(set(needs)) > 1:
        differences = "; ".join(f"{board.name}: {', '.join(need)}" for board, need in zip(boards, needs, strict=True))
        raise UsageError(
            f"the boards of one run need the same kernel, but these differ: {differences}",
            hint="make `arch` and `kernel_configs` of their files equal, or start a run for each",
        )


def check_release(boards: Sequence[Board], release: str) -> None:
    """Before anything is built. Raises UsageError if one of the boards can do nothing with a kernel so old."""
    for board in boards:
        board.check_release(release)


def reopened(settings: Settings) -> tuple[Board, ...]:
    """The boards of a run that goes on, by their keys in its recorded options. Raises UsageError, ConfigError."""
    return tuple(map(open_board, settings.board_names))


def recorded(options: argparse.Namespace, chosen: Fleet) -> dict[str, object]:
    """What a run's options say about its boards: `board` for people, `boards` for resuming."""
    return {
        "board": ", ".join(board.name for board in chosen.boards),
        "boards": [board.key for board in chosen.boards],
        "tag": options.tag,
        "boot_method": options.boot_method,
        "time": options.time,
        "wait": options.wait,
    }


def lanes(boards: Sequence[Board], settings: Settings, copies: int | None = None) -> list[Lane]:
    """A lane for each board; for one that can be had in copies, and alone, as many as `copies` or `--jobs` says."""
    if len(boards) == 1 and boards[0].copies:
        return [Lane(boards[0])] * (copies or settings.jobs)
    wait = 0.0 if settings.tag else settings.wait or 0.0
    return [Lane(board, wait) for board in boards]


def measured(boards: Sequence[Board], *, coverage: bool, time: TimeName | None) -> bool:
    """Whether it is measured which lines run: with `--coverage`, and in exact time always, where it costs next to
    nothing."""
    return coverage or all(board.counts and board.time_for(time) is TimeName.EXACT for board in boards)


def fragments_of(boards: Sequence[Board], extra: Sequence[str], *, coverage: bool = False) -> tuple[str, ...]:
    """Config fragments of a job: what every kernel needs, what the boards' files say (the same), what measuring
    lines needs (where the board counts them, that costs the kernel nothing: always), and `--config`. Raises UsageError
    if the boards differ."""
    _check_alike(boards)
    needed = ("panthor", *boards[0].kernel_configs)
    means = COVERAGE if all(board.counts for board in boards) else GCOV if coverage else ""
    return (*needed, *((means,) if means and not {COVERAGE, GCOV} & {*extra} else ()), *extra)
