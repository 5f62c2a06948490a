# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of several kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from panthorlab.report.matrix import Column, cells_of, markdown, render, shown


def results_of(name: str, *outcomes: str, message: str = "") -> list[dict[str, Any]]:
    suite, _, test_ = name.partition("::")
    return [{"suite": suite, "test": test_, "outcome": outcome, "message": message} for outcome in outcomes]


def column(label: str, tests: list[dict[str, Any]], rows: dict[str, tuple[int, int, int]], status: int = 0) -> Column:
    return Column(label, "abcdef0123456789", f"runs/{label}", status, cells_of(tests, rows))


OLD = column(
    "6.12.73",
    [*results_of("uapi::a", "PASS", "FAIL", message="lost"), *results_of("uapi::b", "PASS")],
    {"heap-exit/exit": (80, 0, 80), "heap-exit/idle": (0, 0, 20)},
    status=1,
)
NEW = column(
    "7.3.4",
    [*results_of("uapi::a", "PASS", "PASS"), *results_of("uapi::b", "PASS"), *results_of("uapi::c", "SKIP")],
    {"heap-exit/exit": (0, 0, 80), "heap-exit/idle": (0, 0, 20)},
)


def test_a_bad_boot_decides_a_cell() -> None:
    assert OLD.cells["uapi::a"].word == "fail 1/2"
    assert OLD.cells["uapi::a"].message == "lost"
    assert not OLD.cells["uapi::a"].good
    assert cells_of(results_of("s::t", "FAIL", "FAIL"), {})["s::t"].word == "fail"
    assert cells_of(results_of("s::t", "ERROR"), {})["s::t"].word == "error"
    assert cells_of([], {"w": (0, 2, 9)})["w"].word == "0/9 (2 error)"


def test_only_what_differs_or_is_bad_is_shown() -> None:
    assert shown([OLD, NEW]) == ["heap-exit/exit", "uapi::a", "uapi::c"]
    assert shown([OLD]) == ["heap-exit/exit", "uapi::a"]
    assert shown([OLD, NEW], everything=True) == ["heap-exit/exit", "heap-exit/idle", "uapi::a", "uapi::b", "uapi::c"]


def test_the_table() -> None:
    lines = render([OLD, NEW]).splitlines()
    assert lines[0].split() == ["6.12.73", "7.3.4"]
    assert lines[1].split() == ["heap-exit/exit", "80/80", "0/80"]
    assert lines[3].split() == ["uapi::c", "-", "skip"]
    assert "2 of 5 rows are good and the same on all kernels" in lines
    assert any(line.startswith("6.12.73: 2 bad") for line in lines)
    assert render([NEW, NEW]).splitlines()[0].startswith("5 of 5 rows")


def test_what_is_only_watched_is_shown_and_not_counted_as_bad() -> None:
    rows = {"heap-exit/exit": (1, 0, 6), "heap-exit/clients": (4, 0, 6)}
    cells = cells_of([], rows, watched={"heap-exit/clients"})
    table = render([Column("6.12.117", "abcdef", "runs/x", 1, cells)])
    assert "6.12.117: 1 bad" in table
    assert "heap-exit/clients         4/6" in table


def test_names_from_elsewhere_command_no_terminal() -> None:
    evil = column("\x1b[31mred", results_of("a::\x1b]0;x\x07b", "FAIL"), {}, status=1)
    assert "\x1b" not in render([evil])


def test_the_table_for_a_page() -> None:
    assert markdown([OLD, NEW]).splitlines() == [
        "|  | 6.12.73 | 7.3.4 |",
        "| --- | --- | --- |",
        "| kernel | `abcdef012345` | `abcdef012345` |",
        "| all in all | 2 bad | good |",
        "| `heap-exit/exit` | 80/80 | 0/80 |",
        "| `uapi::a` | fail 1/2 | pass |",
        "| `uapi::c` | - | skip |",
        "",
        "2 of 5 rows are good and the same on all kernels.",
    ]
    assert "| `uapi::b` | pass | pass |" in markdown([OLD, NEW], everything=True)
    assert "rows are good" not in markdown([OLD, NEW], everything=True)


def test_no_name_breaks_the_table_for_a_page() -> None:
    broken = column("a|b", results_of("s::t[`x`|\ny]", "FAIL"), {}, status=4)
    lines = markdown([replace(broken, errors=["no `board`\n# here", "<b>"])]).splitlines()
    assert lines[0] == r"|  | a\|b |"
    assert lines[4] == r"| `s::t['x'\| y]` | fail |"
    assert lines[-2:] == ["- a|b: `no 'board' # here`", "- a|b: `<b>`"]
