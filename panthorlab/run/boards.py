# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab boards`: which boards there are, how they stand, and what keeps a lab in order."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from panthorlab.board import lab
from panthorlab.board.board import Board, BoardRow
from panthorlab.board.config import board_file_schema
from panthorlab.board.registry import board_files, open_board
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.run.progress import ProgressDisplay


class Broken(TypedDict):
    """What `--json` says of a board whose file is wrong."""

    name: str
    file: str
    type: None
    state: str
    error: str
    hint: str | None


def main(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    action = {
        None: _list,
        "schema": _schema,
        "trust": _trust,
        "train": _train,
        "quarantine": _quarantine,
        "release": _release,
    }[options.action]
    return action(options)


def _list(options: argparse.Namespace) -> int:
    rows = [_row(name, file) for name, file in sorted(board_files().items())]
    if options.json:
        print(json.dumps({"boards": rows}, indent=1))
        return 0
    for row in rows:
        print(_line(row))
    return 0


def _row(name: str, file: Path) -> BoardRow | Broken:
    """One board as `--json` shows it; a board file that is wrong is listed with what is wrong with it."""
    try:
        board = open_board(name)
    except PanthorlabError as error:
        return {
            "name": name,
            "file": str(file),
            "type": None,
            "state": "broken",
            "error": str(error),
            "hint": error.hint,
        }
    return board.row()


def _line(row: BoardRow | Broken) -> str:
    """A board for people: what it is, then, indented, what they should know before they use it."""
    if row["type"] is None:
        hint = f"\n{'':17}{row['hint']}" if row["hint"] else ""
        return f"{row['name']:16} broken       {row['error']}{hint}"
    unverified = " (unverified: nobody has seen it work yet)" if row["unverified"] else ""
    lines = [f"{row['name']:16} {row['state']:12} {row['type']:9} {row['description']}{unverified}"]
    if row["why"]:
        lines.append(row["why"])
    health = row["health"]
    if health and not health["healthy"] and not row["quarantine"]:
        lines.append(f"failed its last health check: {health['detail']}")
    return f"\n{'':17}".join(lines)


def _schema(_options: argparse.Namespace) -> int:
    print(json.dumps(board_file_schema(), indent=1))
    return 0


def _in_lab(name: str) -> Board:
    """A board that somebody looks after, by its name or file. Raises UsageError for another one."""
    board = open_board(name)
    board.check_in_lab()
    return board


def _trust(options: argparse.Namespace) -> int:
    """Pin the board's SSH host keys, after a person has seen their fingerprints."""
    board = _in_lab(options.board_name)
    pinned = board.trust(_confirm(yes=options.yes))
    if not pinned:
        raise UsageError(
            f"the host keys of board {board.name} were not accepted", hint="until they are, it cannot be used"
        )
    return _done(options, board, "\n".join(f"{board.name}: pinned {text}" for text in pinned))


def _confirm(*, yes: bool) -> Callable[[str], bool]:
    def ask(question: str) -> bool:
        if yes:
            print(question, file=sys.stderr)
            return True
        if not sys.stdin.isatty():
            raise UsageError(
                f"nobody is there to answer: {question}",
                hint="compare the fingerprints on the board's console, then repeat with --yes",
            )
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


def _train(options: argparse.Namespace) -> int:
    """Boot the known-good kernel again and again; a board that fails is quarantined, one that passes is released."""
    board = _in_lab(options.board_name)
    progress = ProgressDisplay()
    try:
        found = board.train(options.boots, progress.step)
    finally:
        progress.finish()
    detail = f"{found.good} of {found.boots} known-good boots in {found.seconds:.0f} s"
    lab.record_health(board.name, healthy=found.problem is None, detail=detail)
    if found.problem is not None:
        lab.quarantine(board.name, f"failed its health check: {found.problem.splitlines()[0]}")
        raise LabError(f"{board.name}: {detail}; {found.problem}", hint="it is quarantined until it passes")
    lab.release(board.name)
    return _done(options, board, f"{board.name}: healthy, {detail}")


def _quarantine(options: argparse.Namespace) -> int:
    board = _in_lab(options.board_name)
    lab.quarantine(board.name, options.reason)
    return _done(options, board, f"{board.name}: quarantined")


def _release(options: argparse.Namespace) -> int:
    board = _in_lab(options.board_name)
    before = lab.release(board.name, end_lease=options.force)
    lines = []
    if before.quarantine:
        lines.append(f"{board.name}: released from quarantine: {before.quarantine}")
    if before.lease and options.force:
        lines.append(f"{board.name}: ended the lease of {before.lease}")
    return _done(options, board, "\n".join(lines) or f"{board.name}: was free")


def _done(options: argparse.Namespace, board: Board, text: str) -> int:
    """Say what was done and, as JSON, how the board stands now."""
    if options.json:
        print(json.dumps(board.row() | {"said": text}, indent=1))
    elif text:
        print(text)
    return 0
