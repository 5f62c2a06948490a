# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab boards`: which boards there are, how they stand, and what keeps a lab in order."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from panthorlab.board import lab
from panthorlab.board.config import BoardFile, board_file_schema, check_here, read_board_file
from panthorlab.board.real.file import RealFile
from panthorlab.board.registry import board_files, find_board_file
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.run.progress import Progress


def main(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    action = {
        None: _list, "schema": _schema, "trust": _trust, "train": _train, "quarantine": _quarantine,
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


def _row(name: str, file: Path) -> dict[str, Any]:
    """One board as `--json` tells it; a board file that is wrong is listed with what is wrong with it."""
    try:
        described = read_board_file(file)
    except PanthorlabError as error:
        return {"name": name, "file": str(file), "type": None, "state": "broken", "error": str(error),
                "hint": error.hint}
    row = {"name": name, "file": str(file), "type": described.type, "description": described.description,
           "tags": described.tags, "unverified": False, "state": "free", "why": "", "lease": None, "quarantine": None,
           "health": None}
    return row | _standing(name, described) if isinstance(described, RealFile) else row


def _standing(name: str, described: RealFile) -> dict[str, Any]:
    shown: dict[str, Any] = {"unverified": described.unverified, "methods": described.boot.methods}
    if described.example:
        return shown | {"state": "example"}
    try:
        now = lab.standing(name)
    except PanthorlabError as error:
        return shown | {"state": "unknown", "why": str(error)}
    parts = {"lease": now.lease, "quarantine": now.quarantine, "health": now.health}
    return shown | {"state": now.state.value, "why": now.why} | {
        key: part.model_dump(mode="json") if part else None for key, part in parts.items()
    }


def _line(row: dict[str, Any]) -> str:
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


def _real(name: str) -> tuple[str, RealFile]:
    """A real board by its name or file. Raises UsageError."""
    file = find_board_file(name)
    described: BoardFile = read_board_file(file)
    if not isinstance(described, RealFile):
        raise UsageError(f"board {file.stem} is an emulated one, which is always free and healthy",
                         hint="this command is for real boards: `panthorlab boards` lists them")
    check_here(file.stem, described)
    return file.stem, described


def _trust(options: argparse.Namespace) -> int:
    """Pin the board's SSH host keys, after a person has seen their fingerprints."""
    name, described = _real(options.board_name)
    if described.ssh is None:
        raise UsageError(f"board {name} has no section `ssh`",
                         hint="name its host there: its keys are pinned before it is used")
    from panthorlab.board.real.ssh import hostkeys  # SSH costs start-up time

    pinned = hostkeys.trust(name, described.ssh, confirm=_confirm(yes=options.yes), lab_dir=lab.lab_dir())
    if not pinned:
        raise UsageError(f"the host keys of board {name} were not accepted", hint="until they are, it cannot be used")
    return _done(options, name, "\n".join(f"{name}: pinned {text}" for text in pinned))


def _confirm(*, yes: bool) -> Any:
    def ask(question: str) -> bool:
        if yes:
            print(question, file=sys.stderr)
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"nobody is there to answer: {question}",
                             hint="compare the fingerprints on the board's console, then repeat with --yes")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


def _train(options: argparse.Namespace) -> int:
    """Boot the known-good kernel again and again; a board that fails is quarantined, one that passes is released."""
    name, described = _real(options.board_name)
    from panthorlab.board.real.train import train  # SSH and HTTP cost start-up time

    progress = Progress()
    try:
        health = train(name, described, options.boots, progress.step)
    finally:
        progress.finish()
    detail = f"{health.good} of {health.boots} known-good boots in {health.seconds:.0f} s"
    lab.record_health(name, healthy=health.problem is None, detail=detail)
    if health.problem is not None:
        lab.quarantine(name, f"failed its health check: {health.problem.splitlines()[0]}")
        raise LabError(f"{name}: {detail}; {health.problem}", hint="it is quarantined until it passes")
    lab.release(name)
    return _done(options, name, f"{name}: healthy, {detail}")


def _quarantine(options: argparse.Namespace) -> int:
    name, _ = _real(options.board_name)
    lab.quarantine(name, options.reason)
    return _done(options, name, f"{name}: quarantined")


def _release(options: argparse.Namespace) -> int:
    name, _ = _real(options.board_name)
    before = lab.release(name, end_lease=options.force)
    said = []
    if before.quarantine:
        said.append(f"{name}: released from quarantine: {before.quarantine}")
    if before.lease and options.force:
        said.append(f"{name}: ended the lease of {before.lease}")
    return _done(options, name, "\n".join(said) or f"{name}: was free")


def _done(options: argparse.Namespace, name: str, text: str) -> int:
    """Say what was done and, as JSON, how the board stands now."""
    if options.json:
        file = find_board_file(options.board_name)
        print(json.dumps(_row(name, file) | {"said": text}, indent=1))
    elif text:
        print(text)
    return 0
