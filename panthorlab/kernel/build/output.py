# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the output of a kernel build: how far it is, and what went wrong where. Pure functions over lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from panthorlab.kernel.patch.report import PatchReport

_STEP = re.compile(r"^  (?:CC|AS|LD|AR|HOSTCC|OBJCOPY|DTC|SYSTBL|GEN|UPD|MODPOST|KSYMS)\b")
_ERROR = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:(?P<column>\d+):)? (?:fatal )?error: (?P<text>.*)$")
_KBUILD = re.compile(
    r"^(?P<file>[^\s:]*(?:Makefile|Kconfig|Kbuild|\.cmd)[^\s:]*):(?P<line>\d+):(?: \*\*\*)? (?P<text>.*)$"
)
_LINKER = re.compile(r"^(?:\S*ld: )?(?P<text>.*(?:undefined reference|multiple definition|duplicate symbol).*)$")
_MODPOST = re.compile(r"^ERROR: modpost: (?P<text>.*)$")
_MAKE = re.compile(r"^make(?:\[\d+\])?: \*\*\* (?P<text>.*)$")
_TARGET = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[(?:.*: )?(?P<target>\S+)\] Error \d+$")
_INCLUDED = re.compile(r"^(?:In file included|\s+) ?from (?P<file>[^\s:]+):\d+")
_SYMBOL = re.compile(
    r"(?:undefined reference to|multiple definition of|modpost:|duplicate symbol:?) [`'\"‘“]?(?P<name>\w+)"
)


@dataclass(frozen=True)
class BuildProblem:
    """One error. `file`: relative to the tree if it is in it, or empty; `line` 1-based, 0 if unknown."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.file else self.text


def is_step(line: str) -> bool:
    """Whether the line announces one unit of work, as counted for the progress display."""
    return _STEP.match(line) is not None


def find_problems(lines: Iterable[str], roots: Sequence[str]) -> list[BuildProblem]:
    """All errors in order of appearance; make's own complaints only if there is nothing better.

    `roots`: directories that are cut off the front of file names.
    """
    found: list[BuildProblem] = []
    complaints: list[BuildProblem] = []
    for line in lines:
        if match := _ERROR.match(line):
            found.append(BuildProblem(_relative(match["file"], roots), int(match["line"]), f"error: {match['text']}"))
        elif (match := _MODPOST.match(line)) or (match := _LINKER.match(line)):
            found.append(BuildProblem("", 0, match["text"]))
        elif match := _MAKE.match(line):
            complaints.append(BuildProblem("", 0, match["text"]))
        elif match := _KBUILD.match(line):
            complaints.append(BuildProblem(_relative(match["file"], roots), int(match["line"]), match["text"]))
    return list(dict.fromkeys(found or complaints))


def failed_targets(lines: Iterable[str]) -> list[str]:
    """What make could not make, as it names it; targets of a recursive make, too."""
    return list(dict.fromkeys(match["target"] for line in lines if (match := _TARGET.match(line))))


def included_from(lines: Iterable[str], roots: Sequence[str]) -> set[str]:
    """The files in the compiler's "included from" chain of an error."""
    return {_relative(match["file"], roots) for line in lines if (match := _INCLUDED.match(line))}


def missing_symbols(lines: Iterable[str]) -> set[str]:
    """Symbols that the linker or modpost reported as undefined or duplicate."""
    return {match["name"] for line in lines if (match := _SYMBOL.search(line))}


def culprit(problem: BuildProblem, reports: Iterable[PatchReport]) -> str:
    """Which patch touched the file that does not compile."""
    names = [report.title for report in reports if problem.file in report.files]
    if names:
        return f"{problem.file} is touched by {', '.join(repr(name) for name in names)}"
    return "no patch touches that file" if problem.file else ""


def _relative(file: str, roots: Sequence[str]) -> str:
    for root in roots:
        if file.startswith(root + "/"):
            return file[len(root) + 1 :]
    return file.removeprefix("./")
