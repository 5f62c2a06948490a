# SPDX-License-Identifier: GPL-2.0-or-later
"""Coverage of the driver as tables for people and for programs: per suite, file and function. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from panthorlab.coverage.lines import Executed, lines_of
from panthorlab.coverage.model import Function


def to_json(whole: Executed, suites: Mapping[str, Executed]) -> dict[str, Any]:
    """Totals, and the number of executed lines of each function: in all, and in each suite that executed any."""
    lines = lines_of(whole)

    def ran(one: Executed, function: Function) -> int:
        return sum(1 for line in lines[function] if one.lines[function.file][line])

    return {
        "functions_ran": whole.functions_ran,
        "function_total": whole.function_total,
        "lines_ran": whole.lines_ran,
        "line_total": whole.line_total,
        "suites": {
            name: {"functions_ran": one.functions_ran, "lines_ran": one.lines_ran} for name, one in suites.items()
        },
        "functions": [
            {
                "name": function.name,
                "file": function.file,
                "line": function.line,
                "calls": count,
                "lines": len(lines[function]),
                "lines_ran": ran(whole, function),
                "suites": {name: part for name, one in suites.items() if (part := ran(one, function))},
            }
            for function, count in whole.functions.items()
        ],
    }


def share(part: int, whole: int) -> str:
    """`143 of 359 (40 %)`, rounded down: 100 % is all."""
    return f"{part} of {whole}" + (f" ({100 * part // whole} %)" if whole else "")


def summary(whole: Executed) -> str:
    return (
        f"{share(whole.functions_ran, whole.function_total)} functions and "
        f"{share(whole.lines_ran, whole.line_total)} lines of panthor ran"
    )


def render(whole: Executed, suites: Mapping[str, Executed]) -> str:
    """Totals, a row per suite and file, and what never ran: whole functions, and lines of the others."""
    return "\n".join([summary(whole), "", *_suites(whole, suites), "", *_files(whole), "", *_never(whole)]) + "\n"


def _suites(whole: Executed, suites: Mapping[str, Executed]) -> Iterator[str]:
    yield f"{'suite':<28} {'functions':>10} {'lines':>10}  in no other suite"
    for name, one in suites.items():
        others = [other for key, other in suites.items() if key != name]
        alone = sum(
            1
            for file, counts in one.lines.items()
            for line, count in counts.items()
            if count and not any(other.lines[file][line] for other in others)
        )
        yield f"{name:<28} {one.functions_ran:>10} {one.lines_ran:>10}  {alone}"
    yield f"{'all':<28} {whole.functions_ran:>10} {whole.lines_ran:>10}"


def _files(whole: Executed) -> Iterator[str]:
    yield f"{'file':<28} {'functions':>18} {'lines':>22}"
    for file, counts in whole.lines.items():
        functions = [count for function, count in whole.functions.items() if function.file == file]
        ran, lines = sum(1 for count in functions if count), sum(1 for count in counts.values() if count)
        yield f"{PurePosixPath(file).name:<28} {share(ran, len(functions)):>18} {share(lines, len(counts)):>22}"


def _never(whole: Executed) -> Iterator[str]:
    yield "never ran:"
    for function, lines in lines_of(whole).items():
        where = f"  {PurePosixPath(function.file).name}:{function.line} {function.name}"
        missed = [line for line in lines if not whole.lines[function.file][line]]
        if not whole.functions[function]:
            yield f"{where}: the function ({len(lines)} lines)"
        elif missed:
            yield f"{where}: {len(missed)} of {len(lines)} lines: {_ranges(missed, lines)}"


def _ranges(missed: Iterable[int], lines: tuple[int, ...]) -> str:
    """`12-15, 20`: lines in a row, those without code between them left out."""
    missing = set(missed)
    found: list[list[int]] = []
    row = False
    for line in lines:
        if line in missing and row:
            found[-1].append(line)
        elif line in missing:
            found.append([line])
        row = line in missing
    return ", ".join(f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in found)
