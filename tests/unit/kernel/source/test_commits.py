# SPDX-License-Identifier: GPL-2.0-or-later
"""The commits between two ends of real git repositories, and which of them are the same kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from panthorlab.errors import SourceError
from panthorlab.kernel.build.reads import ReadFiles
from panthorlab.kernel.source.commits import TreeChanges, changes_to, fingerprints, kinship, read_history
from tests.unit.run.bisect.small_history import Repo


def is_read(path: str) -> bool:
    return not path.startswith("Documentation/")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo.new(tmp_path / "linux")
    made.write("good", a_c="int a;\n")
    return made


def test_comments_blanks_and_documents_change_no_kernel(repo: Repo) -> None:
    repo.write("comment", a_c="/* a\n * b */ int   a; // c\n")
    repo.write("document", Documentation__x_rst="x\n")
    repo.write("code", a_c="int a;\nint b;\n")
    repo.write("empty")
    repo.write("makefile", drivers__Makefile_x="# a comment of another language\n")
    history = read_history(repo.path, [repo.ids["good"]], "master")
    kin = kinship(history, fingerprints(history, is_read))
    assert list(kin.parents) == [repo.ids["code"], repo.ids["makefile"]]
    assert kin.head[repo.ids["document"]] == "", "as good as the good end"
    assert kin.head[repo.ids["empty"]] == repo.ids["code"]
    assert kin.parents[repo.ids["makefile"]] == (repo.ids["code"],)


def test_merges_follow_the_parent_that_they_are_the_same_as(repo: Repo) -> None:
    repo.write("left", b_c="int b;\n")
    repo.git("switch", "-q", "-c", "docs", repo.ids["good"])
    repo.write("docs", Documentation__x_rst="x\n")
    repo.git("switch", "-q", "-c", "thrown-away", repo.ids["good"])
    repo.write("thrown away", c_c="int c;\n")
    repo.git("switch", "-q", "-c", "right", repo.ids["good"])
    repo.write("right", d_c="int d;\n")
    repo.git("switch", "-q", "master")
    repo.merge("merge docs", "docs")
    repo.merge("merge nothing", "-s", "ours", "thrown-away")
    repo.merge("merge code", "right")
    history = read_history(repo.path, [repo.ids["good"]], "master")
    kin = kinship(history, fingerprints(history, is_read))
    assert kin.head[repo.ids["merge docs"]] == kin.head[repo.ids["merge nothing"]] == repo.ids["left"]
    assert set(kin.parents) == {repo.ids[name] for name in ("left", "right", "merge code")}
    assert set(kin.parents[repo.ids["merge code"]]) == {repo.ids["left"], repo.ids["right"]}


def test_what_makes_one_tree_of_another(repo: Repo) -> None:
    repo.write("more", b_c="int b;\n", a_c="int aa;\n")
    repo.git("rm", "-q", "b.c")
    repo.git("commit", "-q", "-m", "less")
    plain = {"a.c": False, "b.c": False}
    more = TreeChanges({"a.c": b"int aa;\n", "b.c": b"int b;\n"}, plain)
    assert changes_to(repo.path, repo.ids["good"], repo.ids["more"]) == more
    assert changes_to(repo.path, repo.ids["more"], repo.git("rev-parse", "HEAD")) == TreeChanges({"b.c": None})
    (repo.path / "a.c").chmod(0o755)
    repo.write("mode")
    assert changes_to(repo.path, repo.ids["more"], repo.ids["mode"]) == TreeChanges(
        {"a.c": b"int aa;\n", "b.c": None}, {"a.c": True}
    )
    (repo.path / "link").symlink_to("a.c")
    repo.write("link")
    assert changes_to(repo.path, repo.ids["good"], repo.ids["link"]) is None, "files alone do not do it"


def test_subjects_and_paths_with_any_byte_in_them(repo: Repo) -> None:
    (repo.path / "odd\x01\x02.c").write_text("int a;\n")
    odd = repo.write("evil \x01 \x02\x02 \x1b[2J\u202e end", a_c="int a;\nint b;\n")
    history = read_history(repo.path, [repo.ids["good"]], "master")
    (commit,) = history.commits
    assert (commit.id, commit.parents, commit.subject) == (
        odd,
        (repo.ids["good"],),
        "evil ? ?? ?[2J? end".replace("?", "\ufffd"),
    )
    assert {change.path for change in commit.changes} == {"a.c", "odd\x01\x02.c"}


def test_ends_without_a_way_between_them_are_refused_in_a_sentence(repo: Repo, tmp_path: Path) -> None:
    good = repo.ids["good"]
    repo.write("bad", a_c="int b;\n")
    with pytest.raises(SourceError, match="the same commit"):
        read_history(repo.path, ["HEAD"], "master")
    with pytest.raises(SourceError, match="is newer than the bad one"):
        read_history(repo.path, ["HEAD"], good)
    with pytest.raises(SourceError, match="no revision v9"):
        read_history(repo.path, ["v9"], "HEAD")
    repo.git("switch", "-q", "-c", "side", good)
    repo.write("side", c_c="int c;\n")
    with pytest.raises(SourceError, match=f"they part at {good[:12]}"):
        read_history(repo.path, ["side"], "master")
    repo.git("switch", "-q", "--orphan", "alone")
    repo.write("alone", z_c="int z;\n")
    with pytest.raises(SourceError, match="no commit in common"):
        read_history(repo.path, ["alone"], "master")
    with pytest.raises(SourceError, match="not a git repository"):
        read_history(tmp_path, ["a"], "b")


def test_shallow_clones_are_searched_as_far_as_they_are_whole(repo: Repo, tmp_path: Path) -> None:
    for number in range(4):
        repo.write(str(number), a_c=f"int a{number};\n")
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "3", f"file://{repo.path}", str(clone)], check=True, capture_output=True
    )
    assert len(read_history(clone, ["HEAD~2"], "HEAD").commits) == 2
    with pytest.raises(SourceError, match="no revision HEAD~4"):
        read_history(clone, ["HEAD~4"], "HEAD")
    orphan = Repo(clone)
    orphan.git("fetch", "-q", "--depth", "1", "origin", repo.ids["good"])
    with pytest.raises(SourceError, match="no commit in common") as refused:
        read_history(clone, [repo.ids["good"]], "HEAD")
    assert "unshallow" in (refused.value.hint or "")


def test_what_no_record_names_is_not_read(tmp_path: Path) -> None:
    reads = ReadFiles()
    assert reads("drivers/net/x.c"), "nothing is known yet"
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers/.a.o.cmd").write_text(
        "savedcmd_drivers/a.o := gcc -c -o drivers/a.o /mnt/src/drivers/a.c\n\ndeps_drivers/a.o := \\\n"
        "  /mnt/src/include/linux/a.h \\\n  $(wildcard include/config/A) \\\n  scripts/b.h \\\n"
        "  /mnt/src/kernel/sched/../../io_uring/wq.h \\\n"
    )
    reads.add(tmp_path)
    assert all(map(reads, ("drivers/a.c", "include/linux/a.h", "io_uring/wq.h")))
    assert not any(map(reads, ("drivers/b.c", "arch/x86/kernel/x.S", "include/linux/b.h", "Documentation/a.rst")))
    always = ("drivers/Makefile", "Kconfig", "Documentation/Kconfig", "scripts/x.c", "include/uapi/drm/x.h", "a.tbl")
    assert all(map(reads, always)), "nobody keeps records of these"
    shadows = ("arch/arm64/include/asm/mmzone.h", "include/asm-generic/mmzone.h")
    assert all(map(reads, shadows)), "that one is there or is not decides which other is included"
