# SPDX-License-Identifier: GPL-2.0-or-later
"""LCOV tracefiles (geninfo(1)): what `genhtml`, Codecov, Coveralls and editors read."""

from __future__ import annotations

from collections.abc import Iterator

from panthorlab.coverage.lines import Executed


def render(executed: Executed, test: str) -> str:
    """`test`: name of the tracefile's test; LCOV allows word characters alone."""
    return "\n".join(_records(executed, test)) + "\n"


def _records(executed: Executed, test: str) -> Iterator[str]:
    for file, lines in executed.lines.items():
        yield f"TN:{''.join(char if char.isalnum() else '_' for char in test)}"
        yield f"SF:{file}"
        functions = {one: count for one, count in executed.functions.items() if one.file == file}
        yield from (f"FN:{one.line},{one.name}" for one in functions)
        yield from (f"FNDA:{count},{one.name}" for one, count in functions.items())
        yield f"FNF:{len(functions)}"
        yield f"FNH:{sum(1 for count in functions.values() if count)}"
        yield from (f"DA:{line},{count}" for line, count in lines.items())
        yield f"LF:{len(lines)}"
        yield f"LH:{sum(1 for count in lines.values() if count)}"
        yield "end_of_record"
