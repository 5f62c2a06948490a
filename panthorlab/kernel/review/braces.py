# SPDX-License-Identifier: GPL-2.0-or-later
"""Braces around a single statement, which kernel style leaves out (Documentation/process/coding-style.rst, 3).

checkpatch.pl knows the rule, but overlooks a block that is the last of its function: it looks at the nesting behind it.
Pure functions over the text of a diff.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unidiff.patch import Line, PatchSet

_HEAD = re.compile(r"^\s*(?:if|for|while|list_for_each\w*|xa_for_each\w*|for_each_\w+) ?\((?P<rest>.*)\)\s*\{\s*$")
_STATEMENT = re.compile(r"^\s*(?!if\b|for\b|while\b|do\b|switch\b|else\b|case\b|default\b|/\*|\*|//|#)[^{}]*;\s*$")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')


@dataclass(frozen=True)
class NeedlessBraces:
    """Braces that are not needed. `line`: of `file` as the patch leaves it, from 1."""

    file: str
    line: int


def needless_braces(diff: str) -> list[NeedlessBraces]:
    """The blocks that a diff adds to C files. Raises UnidiffParseError for a damaged one."""
    return [
        block
        for file in PatchSet(io.StringIO(diff, newline="\n"))
        if file.path.endswith((".c", ".h"))
        for hunk in file
        for block in _blocks(file.path, [line for line in hunk if line.target_line_no is not None])
    ]


def _blocks(name: str, lines: Sequence[Line]) -> Iterator[NeedlessBraces]:
    """`lines`: of one hunk, as the patch leaves them."""
    for place, line in enumerate(lines[:-2]):
        statement, end = lines[place + 1].value, lines[place + 2].value
        if not line.is_added or not _STATEMENT.match(statement) or end.strip() != "}":
            continue
        behind = lines[place + 3].value if place + 3 < len(lines) else ""
        match = _HEAD.match(line.value)
        if match is None or not _balanced(_TEXT.sub("", match["rest"])) or re.match(r"\s*else\b", behind):
            continue
        if _TEXT.sub("", statement).count(";") == 1:
            yield NeedlessBraces(name, line.target_line_no or 0)


def _balanced(text: str) -> bool:
    """Whether the condition begins and ends in this line."""
    depth = 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth < 0:
            return False
    return depth == 0
