# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of bugs and its patches, as far as they can be checked without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bug_rows import DRIVER, FOLDER, MADE_UP, TABLE, Bug, Control, Mutant, Row, choose, load, load_mutants
from benchmarks.bug_rows import MUTANTS as MUTANTS_TABLE
from panthorlab.errors import UsageError
from panthorlab.kernel.patch.filepatch import parse_diff
from panthorlab.kernel.patch.read import read

TABLE_OF_ALL = load()
PATCHED = [row for row in TABLE_OF_ALL.rows if row.files]
MUTANTS = load_mutants().rows


def test_there_are_as_many_rows_as_were_asked_for_and_every_patch_is_of_one() -> None:
    assert len(TABLE_OF_ALL.bug) >= 45
    assert {path.stem for path in FOLDER.glob("*.patch")} == {row.id for row in PATCHED}


def test_every_patch_that_was_made_up_is_of_one_row() -> None:
    assert {path.stem for path in MADE_UP.glob("*.patch")} == {row.id for row in MUTANTS}


@pytest.mark.parametrize("row", [*PATCHED, *MUTANTS], ids=lambda row: row.patch.parent.name + "/" + row.id)
def test_a_patch_changes_the_files_of_its_row_and_no_other(row: Row) -> None:
    patches = read(row.patch.read_bytes(), row.patch.name).patches
    assert len(patches) == 1
    changed = {file.new for file in parse_diff(patches[0])}
    assert changed == {f"b/{DRIVER}/{name}" for name in row.files}
    if isinstance(row, Mutant):
        assert [len(file.hunks) for file in parse_diff(patches[0])] == [1]
    if isinstance(row, Bug):
        assert patches[0].title.startswith("Revert "), "its subject says whose bug it is"
        assert any(part.strip().split()[0] in patches[0].title for part in row.title.split(";"))


def _table(tmp_path: Path, bug: str) -> Path:
    path = tmp_path / "bugs.toml"
    path.write_text(f"""
[[control]]
id = "00-control-harmless"
files = ["panthor_sched.c"]
does = "nothing at all"
{bug}""")
    return path


WHOLE = """
[[bug]]
id = "05-partial-unmap-panic"
upstream = ["4eabd0d8791e"]
title = "Fix kernel panic"
fixed-in = "6.12.56"
files = ["panthor_mmu.c"]
does = "NULL dereference"
trigger = "unmap the middle"
"""


def test_a_whole_row_is_accepted(tmp_path: Path) -> None:
    table = load(_table(tmp_path, WHOLE))
    assert [bug.id for bug in table.shown] == ["05-partial-unmap-panic"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('trigger = "unmap the middle"', "", "say either how it is triggered"),
        ('trigger = "unmap the middle"', 'trigger = "unmap the middle"\nunshown = "but never"', "say either how"),
        ('files = ["panthor_mmu.c"]', "", "goes with 05-partial-unmap-panic.patch"),
        ("05-partial-unmap-panic", "00-other", "goes with 00-other.patch"),
        ("4eabd0d8791e", "4eabd0d", "should match"),
        ("6.12.56", "6.12.y", "should match"),
        ("6.12.56", '6.12.56"\ncve = "CVE-12', "should match"),
        ('does = "NULL dereference"', "", "Field required"),
        ('does = "NULL dereference"', 'does = "NULL dereference"\nwhat = "?"', "Extra inputs"),
        ('trigger = "unmap the middle"', 'trigger = "unmap the middle"\n' + WHOLE, "another row has this id"),
        ('trigger = "unmap the middle"', "trigger = ", "Invalid value"),
    ],
)
def test_a_row_that_is_not_whole_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(_table(tmp_path, WHOLE.replace(old, new)))


def test_rows_are_chosen_by_id_number_or_beginning_and_by_default_those_that_can_be_shown() -> None:
    ids = [row.id for row in choose(TABLE_OF_ALL, ["05", "02-oom-evict-leak", "05-partial"])]
    assert ids == ["05-partial-unmap-panic", "02-oom-evict-leak"]
    default = choose(TABLE_OF_ALL, [])
    assert default[0].id == "00-control-harmless"
    assert all(isinstance(row, Control) or row.unshown is None for row in default)
    for wrong in ("999", "vm-bind"):
        with pytest.raises(UsageError, match="no row is called"):
            choose(TABLE_OF_ALL, [wrong])
    without = next(bug for bug in TABLE_OF_ALL.bug if not bug.files)
    with pytest.raises(UsageError, match="there is no patch"):
        choose(TABLE_OF_ALL, [without.id])


def test_a_number_means_the_row_that_has_it_and_none_that_begins_so() -> None:
    assert [row.id for row in choose(load_mutants(), ["10", "100"])] == [
        "10-suspend-forgets-dead",
        "100-time-counted-twice",
    ]


@pytest.mark.parametrize(
    ("table", "row", "told_elsewhere"), [(TABLE, Bug, set()), (MUTANTS_TABLE, Mutant, {"shown-by"})]
)
def test_the_table_explains_every_field_it_has(table: Path, row: type[Row], told_elsewhere: set[str]) -> None:
    head = table.read_text().partition("\n[[")[0]
    fields = {field.alias or name for name, field in row.model_fields.items()} - told_elsewhere
    assert all(f"#   {name} " in head for name in fields), head
