# SPDX-License-Identifier: GPL-2.0-or-later
"""Finished validations of the very same patches, by the patches that each run directory keeps."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import PanthorlabError
from panthorlab.kernel.patch.mails import PatchText, diff_content
from panthorlab.kernel.patch.read import read_all


@dataclass(frozen=True)
class RunOnRecord:
    """`verdict`, `exit` and `reasons` as in its result.json. `whole`: it had no other patches."""

    run: Path
    verdict: str
    exit: int
    reasons: tuple[str, ...]
    whole: bool


def runs_of(patches: Sequence[PatchText], folder: Path) -> list[RunOnRecord]:
    """The runs in `folder` that had all of `patches`, in their order, newest first. What cannot be read is none."""
    wanted = [diff_content(patch) for patch in patches]
    telling = max((line for text in wanted for line in text.split("\n") if line[:1] in "+-"), key=len, default="")
    found = []
    for result in _results(folder):
        kept = _kept(result.parent, telling.encode("latin-1"))
        if not any(kept[at : at + len(wanted)] == wanted for at in range(len(kept))):
            continue
        try:
            data = json.loads(result.read_bytes())
            verdict, status, reasons = str(data["verdict"]), int(data["exit"]), tuple(map(str, data["reasons"]))
        except (ValueError, KeyError, TypeError, RecursionError, OSError):
            continue
        found.append(RunOnRecord(result.parent.resolve(), verdict, status, reasons, kept == wanted))
    return found


def _results(folder: Path) -> list[Path]:
    """The results of all runs, newest first. A run may be deleted meanwhile."""
    found = []
    for path in folder.glob("*/result.json"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _kept(run: Path, telling: bytes) -> list[str]:
    """The contents of the patches that a run keeps; none if `telling` is in no file of them."""
    files = list(_files(run / "patches"))
    try:
        if not any(telling in file.read_bytes() for file in files):
            return []
        return [diff_content(patch) for patch in read_all([str(file) for file in files]).patches]
    except (PanthorlabError, OSError):
        return []


def _files(folder: Path) -> Iterator[Path]:
    for place in sorted(folder.glob("*/*")):
        if place.is_file():
            yield place
