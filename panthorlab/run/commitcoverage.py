# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of each commit of a series ran, from a run with `--coverage` of the whole series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from panthorlab.coverage.changes import changed_lines, changes
from panthorlab.coverage.counts import FOLDER
from panthorlab.coverage.patch import PatchLines, patch_lines
from panthorlab.errors import PanthorlabError
from panthorlab.kernel.job import Commits
from panthorlab.run.onrecord import runs_of
from panthorlab.run.record import PatchLinesEvent
from panthorlab.run.record.log import read_run

Contents = Mapping[str, bytes | None]


@dataclass(frozen=True)
class CommitCoverage:
    """`commits`: of each commit, the lines that it adds and that are still there at the end."""

    run: Path
    commits: tuple[PatchLines, ...]


def coverage_of(commits: Commits, folder: Path) -> CommitCoverage | None:
    """From the newest run in `folder` of this series on this base that measured it; None if there is none."""
    states = _states(commits)
    whole = {path: found.added for path, found in changes(states[0], states[-1]).items()}
    for run in (found.run for found in runs_of(commits.patches, folder) if found.whole):
        counts = _counts(run / FOLDER / "after.lcov")
        if counts is None or _added(run) != whole:
            continue
        owned = owners(states)
        return CommitCoverage(
            run,
            tuple(
                patch_lines(
                    {
                        path: [line for line in lines if owned[path][line - 1] == number]
                        for path, lines in whole.items()
                    },
                    counts,
                )
                for number in range(1, len(states))
            ),
        )
    return None


def _states(commits: Commits) -> list[Contents]:
    """The files that the series touches, before it and after each commit."""
    paths = sorted({path for plan in commits.plans for report in plan.reports for path in report.files})
    base = {path: commits.read(path) for path in paths}
    return [base, *({path: plan.changes.get(path, base[path]) for path in paths} for plan in commits.plans)]


def owners(states: Sequence[Contents]) -> dict[str, list[int]]:
    """Of each line of the last state the number of the state that brought it, by file; 0: the first had it."""
    found: dict[str, list[int]] = {}
    for path in states[0]:
        lines = [0] * _length(states[0][path])
        for number, (old, new) in enumerate(pairwise(states), 1):
            if old[path] == new[path]:
                continue
            change = changed_lines(old[path], new[path])
            removed, added = set(change.removed), set(change.added)
            left = iter([owner for line, owner in enumerate(lines, 1) if line not in removed])
            lines = [number if line in added else next(left) for line in range(1, _length(new[path]) + 1)]
        found[path] = lines
    return found


def _length(content: bytes | None) -> int:
    lines = (content or b"").split(b"\n")
    return len(lines) - (not lines[-1])


def _added(run: Path) -> dict[str, tuple[int, ...]] | None:
    try:
        events = read_run(run)
    except PanthorlabError:
        return None
    found = [event for event in events if isinstance(event, PatchLinesEvent)]
    return {path: tuple(lines) for path, lines in found[-1].added.items()} if found else None


def _counts(tracefile: Path) -> dict[str, dict[int, int]] | None:
    """The lines of an LCOV tracefile; None if there is none, or it is damaged."""
    found: dict[str, dict[int, int]] = {}
    file = ""
    try:
        for line in tracefile.read_text().splitlines():
            kind, _, value = line.partition(":")
            if kind == "SF":
                file = value
            elif kind == "DA":
                number, count = value.split(",")[:2]
                found.setdefault(file, {})[int(number)] = int(count)
    except (OSError, ValueError):
        return None
    return found
