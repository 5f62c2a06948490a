# SPDX-License-Identifier: GPL-2.0-or-later
"""Coverage of a patch's lines: on side *before* those it removes, on *after* those it adds. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from panthorlab.coverage.lines import LineCounts
from panthorlab.coverage.model import DRIVER


@dataclass(frozen=True)
class PatchLines:
    """Patch coverage on one side. `lines`: number of the patch's lines with code; `never`: those that did not run, as
    FILE:LINE. `outside`: the patch's files that are not measured: not C, or not compiled."""

    lines: int
    ran: int
    never: tuple[str, ...]
    outside: tuple[str, ...]


def patch_lines(changed: Mapping[str, Sequence[int]], counts: LineCounts) -> PatchLines:
    """`changed`: by file, the lines of the patch on this side. Those without code (comments, declarations, macros) do
    not count."""
    outside = tuple(file for file, lines in changed.items() if lines and file not in counts and not _bare(file))
    found = [
        (file, line, counts[file][line])
        for file, lines in changed.items()
        if file in counts
        for line in lines
        if line in counts[file]
    ]
    never = tuple(f"{PurePosixPath(file).name}:{line}" for file, line, count in found if not count)
    return PatchLines(len(found), len(found) - len(never), never, outside)


def _bare(file: str) -> bool:
    """Whether a file is measured although no line of it has code: a header of the driver with declarations alone."""
    return file.startswith(DRIVER) and file.endswith(".h")
