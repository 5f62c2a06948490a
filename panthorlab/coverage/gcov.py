# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing gcov's report on one object (`gcov --json-format`, GCC 9 and later). Pure functions."""

from __future__ import annotations

from pydantic import BaseModel, NonNegativeInt, PositiveInt, ValidationError

from panthorlab.coverage.files import Wanted, whole
from panthorlab.coverage.lines import Executed, together
from panthorlab.coverage.model import Function
from panthorlab.errors import LabError


class _Line(BaseModel):
    line_number: PositiveInt
    count: NonNegativeInt


class _Function(BaseModel):
    name: str
    start_line: NonNegativeInt
    execution_count: NonNegativeInt


class _File(BaseModel):
    file: str
    lines: list[_Line]
    functions: list[_Function]


class _Report(BaseModel):
    current_working_directory: str
    files: list[_File]


def read_report(text: str, wanted: Wanted) -> Executed:
    """Counts for the wanted files; lines of others (headers of the kernel) are left out.

    The count of a line that belongs to several functions (of a macro that defines them) is their sum. Raises LabError
    for text that is no gcov report.
    """
    try:
        report = _Report.model_validate_json(text)
    except ValidationError as error:
        raise LabError(f"this is no report of gcov's: {error}") from error
    return together(
        _executed(name, file)
        for file in report.files
        if (name := wanted.name(whole(report.current_working_directory, file.file))) is not None
    )


def _executed(name: str, file: _File) -> Executed:
    lines: dict[int, int] = {}
    for line in file.lines:
        lines[line.line_number] = lines.get(line.line_number, 0) + line.count
    functions = {Function(one.name, name, one.start_line, ()): one.execution_count for one in file.functions}
    return Executed({name: lines}, functions)
