# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the lines of a patch ran: before, those that it removes; after, those that it adds. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from panthorlab.coverage.lines import LineCounts
from panthorlab.coverage.model import DRIVER


@dataclass(frozen=True)
class PatchLines:
    """Of one side. `lines`: how many of the patch's have code; `never`: those that did not run, as FILE:LINE.
    `outside`: files with lines of the patch of which nothing is measured: they are no C, or were not compiled."""

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
