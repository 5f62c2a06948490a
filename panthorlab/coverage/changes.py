# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of a file a patch removes (numbered as before it) and adds (as after it). Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Changed:
    """Line numbers from 1, ascending."""

    removed: tuple[int, ...]
    added: tuple[int, ...]


def changed_lines(before: bytes | None, after: bytes | None) -> Changed:
    """The changed lines of one file; None: the file does not exist on that side."""
    old, new = _lines(before), _lines(after)
    same = min(len(old), len(new))
    head = next((at for at in range(same) if old[at] != new[at]), same)
    tail = next((at for at in range(same - head) if old[-1 - at] != new[-1 - at]), same - head)
    # the matcher ignores frequent lines (`}`), which bounds its time for any patch
    matcher = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail])
    removed: list[int] = []
    added: list[int] = []
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed += range(head + start + 1, head + end + 1)
            added += range(head + new_start + 1, head + new_end + 1)
    return Changed(tuple(removed), tuple(added))


def _lines(content: bytes | None) -> list[bytes]:
    """As a compiler numbers them: nothing but a line feed ends one."""
    lines = (content or b"").split(b"\n")
    return lines if lines[-1] else lines[:-1]


_WORD = re.compile(rb"\w")


def changes(before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]) -> dict[str, Changed]:
    """The changes by file, for files that differ, without lines of brackets only, whose code belongs to other lines.
    Both arguments have the same files."""
    found = {path: changed_lines(before[path], after[path]) for path in sorted(before) if before[path] != after[path]}
    return {
        path: Changed(_telling(before[path], one.removed), _telling(after[path], one.added))
        for path, one in found.items()
    }


def _telling(content: bytes | None, numbers: tuple[int, ...]) -> tuple[int, ...]:
    lines = _lines(content)
    return tuple(number for number in numbers if _WORD.search(lines[number - 1]))
