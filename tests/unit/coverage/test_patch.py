# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of a patch, and whether they ran."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.coverage.changes import Changed, changed_lines, changes
from panthorlab.coverage.model import DRIVER
from panthorlab.coverage.patch import PatchLines, patch_lines

LINES = st.lists(st.sampled_from([b"}", b"", b"\treturn 0;", b"a();", b"b();", b"c();"]), max_size=20)
X, Y = DRIVER + "panthor_x.c", DRIVER + "panthor_y.h"


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@given(LINES, LINES)
def test_what_is_left_of_both_files_is_the_same(old: list[bytes], new: list[bytes]) -> None:
    found = changed_lines(joined(old), joined(new))
    kept = [line for number, line in enumerate(old, 1) if number not in found.removed]
    assert kept == [line for number, line in enumerate(new, 1) if number not in found.added]
    assert list(found.removed) == sorted(set(found.removed))
    assert list(found.added) == sorted(set(found.added))


@given(LINES, LINES, st.integers(1, 5), st.integers(0, 5))
def test_lines_that_are_new_in_one_place_are_found_there(
    head: list[bytes], tail: list[bytes], added: int, removed: int
) -> None:
    new = [f"new {number}".encode() for number in range(added)]
    old = [f"old {number}".encode() for number in range(removed)]
    found = changed_lines(joined([*head, *old, *tail]), joined([*head, *new, *tail]))
    start = len(head) + 1
    assert found == Changed(tuple(range(start, start + removed)), tuple(range(start, start + added)))


@given(LINES)
def test_a_file_that_comes_or_goes_is_all_of_the_patch(lines: list[bytes]) -> None:
    every = tuple(range(1, len(lines) + 1))
    assert changed_lines(None, joined(lines)) == Changed((), every)
    assert changed_lines(joined(lines), None) == Changed(every, ())


def test_only_line_feeds_end_lines() -> None:
    assert changed_lines(b"a\r\x0c\nb\nc", b"a\r\x0c\nb\nd") == Changed((3,), (3,))


def test_only_files_that_differ_are_named() -> None:
    assert changes({X: b"a\n", Y: b"b\n"}, {X: b"a\n", Y: b"c\n"}) == {Y: Changed((1,), (1,))}


def test_brackets_alone_are_no_lines_of_a_patch() -> None:
    before, after = b"a();\n", b"if (x) {\n\t}\n\n});\n\tb();\n"
    assert changes({X: before}, {X: after}) == {X: Changed((1,), (1, 5))}


COUNTS = {X: {10: 4, 11: 0, 20: 1}, Y: {3: 0}}


def test_only_lines_with_code_count() -> None:
    assert patch_lines({X: [9, 10, 12, 20]}, COUNTS) == PatchLines(2, 2, (), ())


def test_lines_that_never_ran_are_named() -> None:
    assert patch_lines({X: [10, 11], Y: [1, 2, 3]}, COUNTS) == PatchLines(3, 1, ("panthor_x.c:11", "panthor_y.h:3"), ())


def test_files_that_are_not_measured_are_named() -> None:
    changed = {
        "drivers/gpu/drm/drm_gpuvm.c": [5],
        "Documentation/x.rst": [],
        DRIVER + "Kconfig": [1],
        DRIVER + "declarations.h": [7],
        DRIVER + "not_built.c": [8],
    }
    assert patch_lines(changed, COUNTS) == PatchLines(
        0, 0, (), ("drivers/gpu/drm/drm_gpuvm.c", DRIVER + "Kconfig", DRIVER + "not_built.c")
    )


def test_files_elsewhere_are_measured_if_they_were_compiled_for_it() -> None:
    other = "kernel/workqueue.c"
    assert patch_lines({other: [5, 6, 7]}, {other: {5: 1, 7: 0}}) == PatchLines(2, 1, ("workqueue.c:7",), ())
