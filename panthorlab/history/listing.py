# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab runs`: the runs below some directories, the newest first. Writes nothing."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError
from panthorlab.history import database
from panthorlab.history.as_json import run_json
from panthorlab.history.facts import RunFacts, State, facts_of
from panthorlab.history.find import run_dirs, size_of, stamp_of
from panthorlab.report.text import fit, json_text, pad, plain

_AGES: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_SIZES: Final = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


def main(options: argparse.Namespace) -> int:
    """Exit status 0, whatever the runs have."""
    roots = options.directory or [Path("runs")]
    runs = sorted(known_or_read(roots), key=lambda run: (-run.started, run.path))
    if options.json:
        listed = [{**run_json(run), "bytes": size_of(run.path)} for run in runs]
        sys.stdout.write(json_text({"runs": listed}))
        return 0
    columns = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 0
    here = Path.cwd()
    for run in runs:
        print(_line(run, here, columns))
    return 0


def known_or_read(roots: Sequence[Path]) -> list[RunFacts]:
    """Of all runs below `roots`: from the history if that is there and knows the log as it is, else from the log."""
    found = run_dirs(roots)
    known = {run.path: run for root in roots for run in _history(root, found)}
    return [known[path] if path in known and _same(known[path]) else facts_of(path) for path in found]


def _history(root: Path, wanted: Sequence[Path]) -> list[RunFacts]:
    try:
        return database.read(root / "history", wanted)
    except LabError:
        return []  # `panthorlab history` mends it


def _same(run: RunFacts) -> bool:
    try:
        return run.stamp == stamp_of(run.path)
    except OSError:
        return False


def _line(run: RunFacts, here: Path, columns: int) -> str:
    word = run.verdict if run.state is State.ENDED and run.verdict else run.kind if run.kind == "replay" else run.state
    path = run.path.relative_to(here) if run.path.is_relative_to(here) else run.path
    about = run.title if run.state is not State.DAMAGED else run.why
    line = f"{pad(word, 12)} {age(run.started):>7} {size(size_of(run.path)):>6}  {plain(path)}  {about}"
    return fit(line, columns) if columns else line


def age(started: float) -> str:
    """How long ago, in one unit; empty if nobody knows."""
    past = max(0.0, time.time() - started)
    return next((f"{past / unit:.0f} {name}" for unit, name in _AGES if past >= unit), "0 s") if started else ""


def size(count: int) -> str:
    """Of bytes, in one unit."""
    return next((f"{count / unit:.0f}{name}" for unit, name in _SIZES if count >= unit), str(count))
