# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's code in vmlinux: its addresses, and the line and function of each instruction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

DRIVER: Final = "drivers/gpu/drm/panthor/"
"""The directory that is measured, in the kernel tree."""


@dataclass(frozen=True)
class LineRow:
    """The instructions from `start` to `end` come from `line` of `file`. `statement`: a statement begins here; else the
    compiler has moved code of the line here. A statement's begin may have no instructions left (`start == end`).
    """

    start: int
    end: int
    file: str
    line: int
    statement: bool


@dataclass(frozen=True)
class Function:
    """A function with code. `entries`: start addresses of the function and of each inlined copy."""

    name: str
    file: str
    line: int
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Places:
    """Start addresses of one line's statements, and of its pieces of code."""

    statements: tuple[int, ...]
    code: tuple[int, ...]


@dataclass(frozen=True)
class SourceMap:
    """`text`: address ranges of the driver's code. Files are named as in the tree, e.g. drivers/gpu/drm/panthor/x.c."""

    build_id: str
    text: tuple[tuple[int, int], ...]
    rows: tuple[LineRow, ...]
    functions: tuple[Function, ...]

    @cached_property
    def lines(self) -> Mapping[str, Mapping[int, Places]]:
        """The places of each line with code, by file and line."""
        statements: dict[tuple[str, int], list[int]] = {}
        code: dict[tuple[str, int], list[int]] = {}
        for row in self.rows:
            if row.statement:
                statements.setdefault((row.file, row.line), []).append(row.start)
            if row.start < row.end:
                code.setdefault((row.file, row.line), []).append(row.start)
        found: dict[str, dict[int, Places]] = {}
        for (file, line), addresses in sorted(code.items()):
            found.setdefault(file, {})[line] = Places(tuple(statements.get((file, line), ())), tuple(addresses))
        return found

    def to_json(self) -> str:
        files = sorted({row.file for row in self.rows})
        number = {file: at for at, file in enumerate(files)}
        rows = [[row.start, row.end, number[row.file], row.line, int(row.statement)] for row in self.rows]
        data = {
            "build_id": self.build_id,
            "text": self.text,
            "files": files,
            "rows": rows,
            "functions": [asdict(function) for function in self.functions],
        }
        return json.dumps(data, separators=(",", ":"))


def from_json(text: str) -> SourceMap:
    """Raises ValueError if it is not what `to_json` wrote."""
    try:
        data: dict[str, Any] = json.loads(text)
        return SourceMap(
            data["build_id"],
            tuple((start, end) for start, end in data["text"]),
            tuple(
                LineRow(start, end, data["files"][file], line, bool(statement))
                for start, end, file, line, statement in data["rows"]
            ),
            tuple(Function(one["name"], one["file"], one["line"], tuple(one["entries"])) for one in data["functions"]),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no map of a kernel's lines: {error}") from error
