# SPDX-License-Identifier: GPL-2.0-or-later
"""Which files of a tree the names in a patch mean, wherever it was made; none is out of the tree."""

from __future__ import annotations

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.filepatch import find_files, parse_diff
from panthorlab.kernel.patch.mails import PatchText

D = "drivers/gpu/drm/panthor"
SCHED = f"{D}/panthor_sched.c"
TREE = {SCHED: b"a\n", f"{D}/Makefile": b"a\n", "Makefile": b"a\n", "Kconfig": b"a\n"}


def found(*names: tuple[str, str]) -> tuple[list[str | None], str]:
    text = "".join(f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-a\n+b\n" for old, new in names)
    files, where = find_files(parse_diff(PatchText("p", "o", text)), TREE.get, "p")
    return [file.new for file in files], where


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (f"a/{SCHED}", f"b/{SCHED}", ""),
        (f"i/{SCHED}", f"w/{SCHED}", ""),
        (SCHED, SCHED, ""),
        (f"./{SCHED}", f"./{SCHED}", ""),
        (f"linux-6.12.orig/{SCHED}", f"linux-6.12/{SCHED}", ""),
        (f"/usr/src/linux/{SCHED}.orig", f"/usr/src/linux/{SCHED}", "4 directories stripped"),
        (f"x/y/{SCHED}", f"x/z/{SCHED}", "2 directories stripped"),
        ("a/panthor_sched.c", "b/panthor_sched.c", f"made in {D}"),
        ("panthor_sched.c", "panthor_sched.c", f"made in {D}"),
        ("a/panthor/panthor_sched.c", "b/panthor/panthor_sched.c", "made in drivers/gpu/drm"),
    ],
)
def test_wherever_it_was_made(old: str, new: str, where: str) -> None:
    files, told = found((old, new))
    assert files == [SCHED]
    assert where in told
    assert bool(where) == bool(told)


def test_the_top_comes_first_unless_more_are_below() -> None:
    assert found(("a/Makefile", "b/Makefile"))[0] == ["Makefile"]
    both = [("a/Makefile", "b/Makefile"), ("a/panthor_sched.c", "b/panthor_sched.c")]
    assert found(*both)[0] == [f"{D}/Makefile", SCHED]


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../etc/passwd", "/", "/usr/../etc/passwd", f"/x/{D}/gone.c"])
def test_out_of_the_tree(name: str) -> None:
    with pytest.raises(PatchError, match="outside the tree"):
        found((name, name))
    with pytest.raises(PatchError, match="outside the tree"):
        found(("/dev/null", name))
