# SPDX-License-Identifier: GPL-2.0-or-later
"""The same suites on several kernels, side by side: what differs, and what is bad. Pure functions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from panthorlab.outcome import Outcome
from panthorlab.report.text import fit, pad, plain, width

NOT_THERE = "-"


@dataclass(frozen=True)
class Cell:
    """What one kernel made of a test or workload. `word`: pass, fail, error, skip, or faulty/all of iterations; `-` if
    it did not run. `message`: of the first that was bad. `watched`: its faults are counted, and blamed on nobody."""

    word: str
    good: bool
    message: str = ""
    watched: bool = False


ABSENT = Cell(NOT_THERE, True)


@dataclass(frozen=True)
class Column:
    """One kernel. `label`: as the table calls it. `exit`: that of its run. `cells`: by SUITE::TEST or workload."""

    label: str
    kernel: str
    run: str
    exit: int
    cells: Mapping[str, Cell] = field(default_factory=dict)
    errors: Sequence[str] = ()


def cells_of(
    tests: Iterable[Mapping[str, Any]], rows: Mapping[str, tuple[int, int, int]], watched: Container[str] = ()
) -> dict[str, Cell]:
    """`tests`: events. `rows`: by workload (faulty, errors, all). `watched`: workloads of which no fault is blamed on
    the kernel."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for test in tests:
        by_name.setdefault(f"{test['suite']}::{test['test']}", []).append(test)
    cells = {name: _test(own) for name, own in by_name.items()}
    for name, (faulty, errors, total) in rows.items():
        spoiled = f" ({errors} error)" if errors else ""
        cells[name] = Cell(f"{faulty}/{total}{spoiled}", not faulty and not errors, watched=name in watched)
    return cells


def _test(results: Sequence[Mapping[str, Any]]) -> Cell:
    """Over all boots. A result that is bad decides."""
    for outcome in (Outcome.FAIL, Outcome.ERROR):
        bad = [result for result in results if result["outcome"] == outcome]
        if bad:
            share = f" {len(bad)}/{len(results)}" if len(bad) < len(results) else ""
            return Cell(f"{outcome.lower()}{share}", False, str(bad[0]["message"]))
    ran = any(result["outcome"] != Outcome.SKIP for result in results)
    return Cell("pass" if ran else "skip", True, "" if ran else str(results[0]["message"]))


def shown(columns: Sequence[Column], *, everything: bool = False) -> list[str]:
    """The rows that tell something: not the same on all kernels, or bad on one."""
    names = sorted(frozenset[str]().union(*(column.cells.keys() for column in columns)))

    def tells(name: str) -> bool:
        own = [column.cells.get(name, ABSENT) for column in columns]
        return len({cell.word for cell in own}) > 1 or not all(cell.good for cell in own)

    return [name for name in names if everything or tells(name)]


def render(columns: Sequence[Column], *, everything: bool = False, room: int = 80) -> str:
    """The table, and one line for each kernel."""
    names = shown(columns, everything=everything)
    widths = [
        max(width(text) for text in (column.label, *(column.cells.get(n, ABSENT).word for n in names)))
        for column in columns
    ]
    left = max(24, min(max([4, *map(width, names)]), room - sum(widths) - 2 * len(widths)))
    lines = []
    if names:
        heads = (plain(column.label) for column in columns)
        lines = [_line("", heads, widths, left)]
        lines += [_line(name, (c.cells.get(name, ABSENT).word for c in columns), widths, left) for name in names]
    if not everything:
        lines.append(_left_out(columns, names))
    for column in columns:
        whose = f"{plain(column.label)}: {_state(column)} · {column.kernel[:12]} · {plain(column.run)}"
        lines.append(fit(whose, max(room, 120)))
        lines += [fit(f"  ERROR {plain(error)}", max(room, 120)) for error in column.errors[:3]]
    return "\n".join(lines)


def markdown(columns: Sequence[Column], *, everything: bool = False) -> str:
    """The table for a page: no more of this machine in it than the kernels' keys."""
    names, escaped = shown(columns, everything=everything), "\\|"
    rows = [
        ("", [column.label for column in columns]),
        ("---", ["---"] * len(columns)),
        ("kernel", [_code(column.kernel[:12]) for column in columns]),
        ("all in all", [_state(column) for column in columns]),
        *((_code(name), [column.cells.get(name, ABSENT).word for column in columns]) for name in names),
    ]
    lines = [f"| {' | '.join(plain(word).replace('|', escaped) for word in (head, *words))} |" for head, words in rows]
    if not everything:
        lines += ["", f"{_left_out(columns, names)}."]
    errors = [f"- {plain(column.label)}: {_code(error)}" for column in columns for error in column.errors[:3]]
    return "\n".join([*lines, *(["", "Errors:", "", *errors] if errors else [])])


def _code(text: str) -> str:
    """As it is, whatever is in it: nothing of it is markup."""
    return f"`{plain(text).replace('`', chr(39))}`"


def _state(column: Column) -> str:
    bad = sum(not (cell.good or cell.watched) for cell in column.cells.values())
    return {0: "good", 1: f"{bad} bad", 4: "error"}.get(column.exit, f"status {column.exit}")


def _left_out(columns: Sequence[Column], names: Sequence[str]) -> str:
    count = len(frozenset[str]().union(*(column.cells.keys() for column in columns)))
    return f"{count - len(names)} of {count} rows are good and the same on all kernels"


def _line(name: str, words: Iterable[str], widths: Sequence[int], left: int) -> str:
    cells = "  ".join(pad(plain(word), wide) for word, wide in zip(words, widths, strict=True))
    return f"{pad(plain(name), left)}  {cells}".rstrip()
