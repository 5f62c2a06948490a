# SPDX-License-Identifier: GPL-2.0-or-later
"""Instruction counts: the file, what each suite ran, and lines and functions from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.coverage import counts, lcov, table
from panthorlab.coverage.counts import Counts
from panthorlab.coverage.lines import executed, lines_of
from panthorlab.coverage.model import DRIVER, Function, LineRow, SourceMap
from panthorlab.errors import LabError

TEXT = ((0xFFFF800080001000, 0xFFFF800080001010), (0xFFFF800080002000, 0xFFFF800080002008))
FILE = DRIVER + "panthor_x.c"
FIRST = Function("first", FILE, 10, (0xFFFF800080001000,))
COPIED = Function("copied", FILE, 5, (0xFFFF800080001008, 0xFFFF800080002004))
SOURCE = SourceMap("ab", TEXT, (
    LineRow(0xFFFF800080001000, 0xFFFF800080001008, FILE, 11, True),
    LineRow(0xFFFF800080001008, 0xFFFF80008000100C, FILE, 6, True),
    LineRow(0xFFFF80008000100C, 0xFFFF800080001010, FILE, 12, False),
    LineRow(0xFFFF800080002000, 0xFFFF800080002004, FILE, 12, True),
    LineRow(0xFFFF800080002004, 0xFFFF800080002008, FILE, 6, True),
), (COPIED, FIRST))  # fmt: skip


def write(path: Path, values: list[int]) -> Path:
    """As the plugin does: into the file that is there."""
    data = path.read_bytes()
    words = b"".join(value.to_bytes(8, "little") for value in values)
    path.write_bytes(data[: len(data) - len(words)] + words)
    return path


def test_a_new_file_has_counted_nothing(tmp_path: Path) -> None:
    live = counts.create(tmp_path / "coverage/counts", TEXT)
    assert counts.read(live) == counts.none(TEXT)
    assert live.stat().st_size == 8 * (2 + 4 + 6)


def test_counts_are_found_by_address() -> None:
    got = Counts(TEXT, [1, 2, 3, 4, 5, 6])
    first, second = (start for start, _ in TEXT)
    assert [got.at(address) for address in (first, first + 4, first + 12, second, second + 4)] == [1, 2, 4, 5, 6]
    outside = (0, 0x1000, first - 4, first + 16, second - 4, second + 8, 1 << 64)
    assert [got.at(address) for address in outside] == [0] * len(outside)


def test_each_suite_gets_what_ran_in_its_time(tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    counts.mark(write(live, [1, 0, 0, 0, 0, 0]), "probe")
    counts.mark(write(live, [1, 2, 0, 0, 0, 0]), "heap-exit")
    counts.mark(write(live, [1, 2, 3, 0, 0, 0]), "probe")
    write(live, [1, 2, 3, 4, 0, 0])  # killed here: what ran last is the last suite's
    found = counts.by_suite(live)
    assert [name for name, _ in found] == [counts.START, "probe", "heap-exit", "probe"]
    assert [list(part.values) for _, part in found] == [
        [1, 0, 0, 0, 0, 0],
        [0, 2, 0, 0, 0, 0],
        [0, 0, 3, 0, 0, 0],
        [0, 0, 0, 4, 0, 0],
    ]
    assert counts.total((part for _, part in found), TEXT) == counts.read(live)


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"x" * 96, b"panthvc1" + b"\xff" * 8])
def test_what_is_no_file_of_counts_is_refused(data: bytes, tmp_path: Path) -> None:
    for name in ("counts", "001-probe.gz"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(LabError, match="holds no counts"):
            counts.read(tmp_path / name)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    live = counts.create(tmp_path / "counts", TEXT)
    live.write_bytes(live.read_bytes()[:-8])
    with pytest.raises(LabError, match="cut off"):
        counts.read(live)


def test_a_line_ran_if_it_did_in_any_copy() -> None:
    ran = executed(SOURCE, Counts(TEXT, [9, 9, 0, 9, 0, 7]))
    assert ran.lines == {FILE: {6: 7, 11: 9, 12: 0}}
    assert ran.functions == {COPIED: 7, FIRST: 9}
    assert (ran.lines_ran, ran.line_total, ran.functions_ran) == (2, 3, 2)
    assert lines_of(ran) == {COPIED: (6,), FIRST: (11, 12)}


@pytest.mark.parametrize(
    ("begun", "moved", "expected"),
    [
        (4, 4, 4),
        (0, 9, 0),  # the compiler has moved some of it out of a branch that was not taken
        (9, 0, 0),  # the branch begins where all pass, and what it does was not done
        (3, 9, 3),
    ],
)
def test_a_line_ran_if_its_place_was_passed_and_its_code_ran(begun: int, moved: int, expected: int) -> None:
    start = TEXT[0][0]
    source = SourceMap("ab", TEXT, (
        LineRow(start, start, FILE, 20, True), LineRow(start, start + 4, FILE, 21, True),
        LineRow(start + 4, start + 8, FILE, 20, False),
    ), ())  # fmt: skip
    assert executed(source, Counts(TEXT, [begun, moved, 0, 0, 0, 0])).lines == {FILE: {20: expected, 21: begun}}


def test_a_line_of_which_no_statement_begins_ran_if_its_code_did() -> None:
    source = SourceMap("ab", TEXT, (LineRow(TEXT[0][0], TEXT[0][1], FILE, 20, False),), ())
    assert executed(source, Counts(TEXT, [2, 0, 0, 0, 0, 0])).lines == {FILE: {20: 2}}


def test_a_statement_of_which_no_code_is_left_is_no_line() -> None:
    source = SourceMap("ab", TEXT, (LineRow(TEXT[0][0], TEXT[0][0], FILE, 20, True),), ())
    assert executed(source, Counts(TEXT, [2, 0, 0, 0, 0, 0])).lines == {}


def test_nothing_ran_where_nothing_was_counted() -> None:
    ran = executed(SOURCE, counts.none(TEXT))
    assert (ran.lines_ran, ran.functions_ran) == (0, 0)


@given(st.lists(st.integers(0, 1 << 40), min_size=6, max_size=6))
def test_a_tracefile_says_what_was_counted(values: list[int]) -> None:
    ran = executed(SOURCE, Counts(TEXT, values))
    lines = lcov.render(ran, "before-1").splitlines()
    assert lines[:2] == ["TN:before_1", f"SF:{FILE}"]
    assert lines[-1] == "end_of_record"
    found = {int(a): int(b) for a, b in (line[3:].split(",") for line in lines if line.startswith("DA:"))}
    assert found == ran.lines[FILE]
    assert f"LF:{ran.line_total}" in lines
    assert f"LH:{ran.lines_ran}" in lines
    assert f"FNH:{ran.functions_ran}" in lines
    assert {line for line in lines if line.startswith("FNDA:")} == {
        f"FNDA:{ran.functions[COPIED]},copied",
        f"FNDA:{ran.functions[FIRST]},first",
    }


def test_tables_say_which_suite_alone_ran_what() -> None:
    probe, exits, whole = (
        executed(SOURCE, Counts(TEXT, values))
        for values in ([5, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [6, 0, 1, 0, 0, 0])
    )
    data = table.to_json(whole, {"probe": probe, "heap-exit": exits})
    assert data["suites"]["heap-exit"] == {"functions_ran": 2, "lines_ran": 2}
    first = next(one for one in data["functions"] if one["name"] == "first")
    assert (first["calls"], first["lines"], first["lines_ran"], first["suites"]) == (
        6,
        2,
        1,
        {"probe": 1, "heap-exit": 1},
    )
    text = table.render(whole, {"probe": probe, "heap-exit": exits})
    assert text.startswith("2 of 2 (100 %) functions and 2 of 3 (66 %) lines of panthor ran\n")
    assert [line.split() for line in text.splitlines() if line.startswith(("probe", "heap"))] == [
        ["probe", "1", "1", "0"],
        ["heap-exit", "2", "2", "1"],
    ]
    assert "panthor_x.c:10 first: 1 of 2 lines: 12" in text
