# SPDX-License-Identifier: GPL-2.0-or-later
"""Where hunks go, by hand-made cases and against GNU patch."""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kernel.patch.hunks import Applied, Hunk, HunkPlacement, apply_hunks, best_window

FILE = [f"line {number}\n" for number in range(1, 31)]


def hunk(start: int, *lines: str) -> Hunk:
    return Hunk(start, tuple((line[0], line[1:] + "\n") for line in lines))


CHANGE = hunk(10, " line 10", " line 11", " line 12", "-line 13", "+new 13", " line 14", " line 15", " line 16")


def placed(result: Applied | int) -> HunkPlacement:
    assert isinstance(result, Applied)
    return result.places[0]


def test_exact() -> None:
    result = apply_hunks(FILE, [CHANGE])
    assert isinstance(result, Applied)
    assert result.lines == [*FILE[:12], "new 13\n", *FILE[13:]]
    assert result.places == (HunkPlacement(10, 0, 0),)


def test_offset_carries_over_to_the_next_hunk() -> None:
    second = hunk(20, " line 20", " line 21", " line 22", "+more", " line 23", " line 24", " line 25")
    result = apply_hunks(["top\n"] * 3 + FILE, [CHANGE, second])
    assert isinstance(result, Applied)
    assert [place.offset for place in result.places] == [3, 3]


@pytest.mark.parametrize(("spoiled", "fuzz"), [((9,), 1), ((9, 10), 2), ((15,), 1), ((9, 15), 1)])
def test_fuzz_forgives_the_outer_context(spoiled: tuple[int, ...], fuzz: int) -> None:
    lines = [*FILE]
    for index in spoiled:
        lines[index] = "other\n"
    result = apply_hunks(lines, [CHANGE])
    assert placed(result).fuzz == fuzz
    assert isinstance(result, Applied)
    assert all(result.lines[index] == "other\n" for index in spoiled), "the tree's own context stays"


@pytest.mark.parametrize("index", [11, 12, 13])
def test_the_inner_context_and_the_removed_line_must_be_there(index: int) -> None:
    lines = [*FILE]
    lines[index] = "other\n"
    assert apply_hunks(lines, [CHANGE]) == 0


def test_a_hunk_without_context_in_front_only_goes_to_the_start() -> None:
    first = hunk(1, "+new", " line 1", " line 2", " line 3")
    assert placed(apply_hunks(FILE, [first])) == HunkPlacement(1, 0, 0)
    assert apply_hunks(["x\n", *FILE], [first]) == 0


def test_missing_newline_at_the_end_is_a_difference() -> None:
    last = Hunk(29, ((" ", "line 29\n"), ("-", "line 30"), ("+", "line 30\n")))
    assert apply_hunks(FILE, [last]) == 0
    result = apply_hunks([*FILE[:-1], "line 30"], [last])
    assert isinstance(result, Applied)
    assert result.lines == FILE


def test_hunks_never_overlap() -> None:
    assert apply_hunks(FILE, [CHANGE, CHANGE]) == 1


def test_new_file() -> None:
    result = apply_hunks([], [Hunk(0, (("+", "a\n"),))])
    assert isinstance(result, Applied)
    assert result.lines == ["a\n"]


def test_best_window_finds_the_most_similar_place() -> None:
    lines = ["other\n"] * 40 + FILE[:12] + ["changed\n"] + FILE[13:]
    assert best_window(lines, CHANGE) == 49


text_lines = st.lists(st.sampled_from(["a\n", "b\n", "{\n", "}\n", "\n", "return;\n", "x = 1;\n"]), max_size=24)


def unified(old: list[str], new: list[str], context: int) -> list[Hunk]:
    found: list[Hunk] = []
    for line in list(difflib.unified_diff(old, new, "a", "b", n=context))[2:]:
        if match := re.match(r"^@@ -(\d+)", line):
            found.append(Hunk(int(match[1]), ()))
        else:
            found[-1] = Hunk(found[-1].start, (*found[-1].lines, (line[0], line[1:])))
    return found


@given(text_lines, text_lines, st.integers(0, 3))
def test_a_diff_applies_to_its_own_base(old: list[str], new: list[str], context: int) -> None:
    result = apply_hunks(old, unified(old, new, context))
    assert isinstance(result, Applied)
    assert result.lines == new
    assert all(place.offset == 0 and place.fuzz == 0 for place in result.places)


numbered = st.integers(8, 30).map(lambda count: [f"l{number}\n" for number in range(count)])


@pytest.mark.skipif(shutil.which("patch") is None, reason="GNU patch is not installed")
@given(numbered, st.data())
def test_like_gnu_patch(base: list[str], data: st.DataObject) -> None:
    """Unique lines, so that there is one right place: same text, same offsets, same fuzz, same refusals."""
    place = data.draw(st.integers(0, len(base) - 1))
    new = [*base[:place], "new\n", *base[place + data.draw(st.integers(0, 1)) :]]
    target = [*base]
    for _ in range(data.draw(st.integers(0, 3))):
        index = data.draw(st.integers(0, len(target)))
        odd = data.draw(st.sampled_from([["odd\n"], ["odd\n", "odd\n"], []]))
        target[index : index + data.draw(st.integers(0, 1))] = odd
    ours = apply_hunks(target, unified(base, new, 3))
    with tempfile.TemporaryDirectory() as scratch:
        file, diff = Path(scratch) / "file", Path(scratch) / "diff"
        file.write_text("".join(target))
        diff.write_text("".join(difflib.unified_diff(base, new, "file", "file")))
        argv = ["patch", "--verbose", "--no-backup-if-mismatch", "-f", "-N", "-r", "-", str(file), str(diff)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env={"LC_ALL": "C"})
        if isinstance(ours, int):
            assert done.returncode == 1, done.stdout
            return
        assert done.returncode == 0, done.stdout
        assert file.read_text() == "".join(ours.lines)
        said = re.search(r"Hunk #1 succeeded at (\d+)(?: with fuzz (\d))?(?: \(offset (-?\d+) line)?", done.stdout)
        assert said is not None
        assert ours.places[0].fuzz == int(said[2] or 0)
        assert ours.places[0].offset == int(said[3] or 0)


def test_a_hunk_never_starts_in_front_of_the_file() -> None:
    """Not even with its first lines ignored: GNU patch refuses, too."""
    first = hunk(1, " line 0", " line 1", "+new", " line 2", " line 3", " line 4")
    assert apply_hunks(FILE, [first]) == 0
