# SPDX-License-Identifier: GPL-2.0-or-later
"""Commits built one after the other in one tree: what comes of it is what a whole build of each gives, whatever
happened to that tree before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.errors import BuildError
from panthorlab.kernel import increment, store
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.increment import has_tree, prepare_commit
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source.commits import TreeChanges

D = "drivers/gpu/drm/panthor"
MMU, SCHED, HEADER = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c", f"{D}/panthor_sched.h"
KCONFIG = f"{D}/Kconfig"
Commit = Callable[..., str]


class KilledError(BaseException):
    """As kill -9: nothing after it is done."""


@pytest.fixture
def commit(git_tree: SimpleNamespace, cache: Path, guest: Path) -> Commit:
    """Make a commit that replaces texts: `commit(FILE, OLD, NEW)`; gives its id."""

    def make(*edits: tuple[str, str, str]) -> str:
        for file, old, new in edits:
            path = git_tree.path / file
            text = path.read_text() if path.exists() else ""
            assert old in text
            path.write_text(text.replace(old, new) if old else text + new)
        git_tree.git("add", "-A")
        git_tree.git("commit", "-q", "--allow-empty", "-m", "more")
        return str(git_tree.git("rev-parse", "HEAD").strip())

    return make


@pytest.fixture
def whole(
    git_tree: SimpleNamespace, fragment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Kernel]:
    """A commit built alone, in a cache of its own."""

    def build(commit: str) -> Kernel:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("XDG_CACHE_HOME", str(tmp_path / f"whole-{commit}"))
            plan = prepare_kernel(f"{git_tree.path}@{commit}", fragments=[str(fragment)])
            return build_side(plan, log=tmp_path / f"whole-{commit}.log")

    return build


def same(one: Kernel, other: Kernel) -> bool:
    """But for where they lie."""
    words = ("key", "title", "release", "build_id", "digests", "modules")
    return [getattr(one, word) for word in words] == [getattr(other, word) for word in words]


def first_of(git_tree: SimpleNamespace) -> str:
    return str(git_tree.git("rev-parse", "v1").strip())


def test_an_increment_is_what_the_whole_build_gives_in_the_time_of_its_change(
    git_tree: SimpleNamespace, commit: Commit, whole: Callable[..., Kernel], fragment: Path, log: Path
) -> None:
    first, names = first_of(git_tree), [str(fragment)]
    second = commit((MMU, "x + 1", "x + 2"), ("Makefile", "SUBLEVEL = 99", "SUBLEVEL = 100"), ("new.txt", "", "text"))
    plan, near = prepare_commit(git_tree.path, first, near=first, fragments=names)
    assert near == first
    build_side(plan, log=log)
    before = log.read_text()
    plan, near = prepare_commit(git_tree.path, second, near=first, fragments=names)
    assert near == first
    assert plan.key == prepare_kernel(f"{git_tree.path}@{second}", fragments=names).key
    assert (plan.base.version, plan.base.commit) == ("6.12.100", second)
    kernel = build_side(plan, log=log)
    assert same(kernel, whole(second))
    compiled = [
        line for line in log.read_text().removeprefix(before).splitlines() if line.startswith("  CC      drivers")
    ]
    assert compiled == [f"  CC      {MMU.replace('.c', '.o')}"]


def test_back_and_forth_each_is_itself(
    git_tree: SimpleNamespace, commit: Commit, whole: Callable[..., Kernel], fragment: Path, log: Path
) -> None:
    """What one commit brought does not stay in the tree of the others; `reverted` is a commit with changes."""
    first = first_of(git_tree)
    second = commit(
        (HEADER, "void panthor_sched_resume(void);\n", "#define TICK 7\nvoid panthor_sched_resume(void);\n")
    )
    third = commit((SCHED, "ticks++;", "ticks += TICK;"))
    kernels = {}
    for name in (third, first, second, third, first):
        plan, _ = prepare_commit(git_tree.path, name, near=second, fragments=[str(fragment)])
        kernels[name] = build_side(plan, log=log)
        shutil.rmtree(store.store_dir() / plan.key)  # so that the next time it is built, too
    for name, kernel in kernels.items():
        assert same(kernel, whole(name))
    reverted = TreeChanges({SCHED: git_tree.git("show", f"{first}:{SCHED}").encode()})
    plan, _ = prepare_commit(git_tree.path, third, reverted, near=first, title="reverted", fragments=[str(fragment)])
    kernel = build_side(plan, log=log)
    assert (kernel.title, kernel.digests) == ("reverted", kernels[second].digests)


def test_a_build_that_was_killed_leaves_nothing_behind_that_is_trusted(
    git_tree: SimpleNamespace, commit: Commit, whole: Callable[..., Kernel], fragment: Path, log: Path
) -> None:
    """While objects look newer than their sources and are not what these would give."""
    first, second = first_of(git_tree), commit((MMU, "x + 1", "x + 2"), (SCHED, "ticks++;", "ticks += 5;"))
    plan, _ = prepare_commit(git_tree.path, first, near=first, fragments=[str(fragment)])
    build_side(plan, log=log)
    old = {path: path.read_bytes() for path in objects_of(plan).glob(f"{D}/*.o")}
    plan, _ = prepare_commit(git_tree.path, second, near=first, fragments=[str(fragment)])

    def dies(step: str, done: int | None = None, _total: int | None = None, /) -> None:
        if step.startswith("building") and done:
            for path, data in old.items():
                path.write_bytes(data)
            raise KilledError

    with pytest.raises(KilledError):
        build_side(plan, log=log, progress=dies)
    assert store.load(plan.key) is None
    assert same(build_side(plan, log=log), whole(second))


def test_what_files_alone_do_not_lead_to_is_in_a_tree_of_its_own(
    git_tree: SimpleNamespace, commit: Commit, fragment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = first_of(git_tree)

    def place(name: str, near: str = first) -> str:
        plan, found = prepare_commit(git_tree.path, name, near=near, fragments=[str(fragment)])
        assert plan.key == prepare_kernel(f"{git_tree.path}@{name}", fragments=[str(fragment)]).key
        return found

    (git_tree.path / "link").symlink_to("Makefile")
    link = commit()
    assert place(link) == link
    git_tree.git("reset", "-q", "--hard", first)
    (git_tree.path / "include/uapi/drm/panthor_drm.h").rename(git_tree.path / "was")
    (git_tree.path / "include/uapi/drm").rmdir()
    (git_tree.path / "was").rename(git_tree.path / "include/uapi/drm")
    file = commit()
    assert place(file) == file
    assert place(first, near=file) == first
    git_tree.git("reset", "-q", "--hard", first)
    plain = commit(("a.txt", "", "text"), ("b.txt", "", "text"))
    assert place(plain) == first
    monkeypatch.setattr(increment, "MOST_FILES", 1)
    assert place(plain) == plain


def test_whether_a_tree_is_there(git_tree: SimpleNamespace, commit: Commit, fragment: Path) -> None:
    first, second = first_of(git_tree), commit((MMU, "x + 1", "x + 2"))
    assert not has_tree(git_tree.path, first)
    prepare_commit(git_tree.path, first, near=first, fragments=[str(fragment)])
    assert has_tree(git_tree.path, first)
    assert not has_tree(git_tree.path, second)
    assert not has_tree(git_tree.path, "0" * 40)


def test_a_commit_without_the_driver_is_refused_as_ever(
    git_tree: SimpleNamespace, commit: Commit, fragment: Path
) -> None:
    first = first_of(git_tree)
    git_tree.git("rm", "-q", "-r", D)
    gone = commit()
    with pytest.raises(Exception, match="panthor") as alone:
        prepare_kernel(f"{git_tree.path}@{gone}", fragments=[str(fragment)])
    with pytest.raises(type(alone.value)) as near:
        prepare_commit(git_tree.path, gone, near=first, fragments=[str(fragment)])
    assert str(near.value) == str(alone.value)


def test_what_does_not_build_is_said_if_the_one_before_builds_there(
    git_tree: SimpleNamespace, commit: Commit, fragment: Path, log: Path
) -> None:
    first, second = first_of(git_tree), commit((MMU, "x + 1", "x + "))
    before, _ = prepare_commit(git_tree.path, first, near=first, fragments=[str(fragment)])
    build_side(before, log=log)
    plan, _ = prepare_commit(git_tree.path, second, near=first, fragments=[str(fragment)])
    with pytest.raises(BuildError, match=r"panthor_mmu\.c"):
        build_side(plan, log=log, before=before)


def test_a_module_is_never_made_of_the_objects_of_another_release(
    git_tree: SimpleNamespace, commit: Commit, guest: Path, fragment: Path, log: Path
) -> None:
    """New guest programs alone need no new kernel, a new module among them may, for it must load."""
    first = first_of(git_tree)
    second = commit(
        ("Makefile", "SUBLEVEL = 99", "SUBLEVEL = 100"),
        ("Makefile", "echo 6.12.99", "echo 6.12.100"),
        (KCONFIG, "", "\n"),
    )

    def build(name: str) -> Kernel:
        plan, _ = prepare_commit(git_tree.path, name, near=first, fragments=[str(fragment)])
        return build_side(plan, log=log)

    def makes() -> int:
        return log.read_text().count(" Image modules")

    assert [build(name).release for name in (first, second)] == ["6.12.99", "6.12.100"]
    (guest / "prog.c").write_text("int main(void) { return 1; }\n")
    before = makes()
    for name in (second, first):
        build(name)
    assert makes() == before
    (guest / "shim/shim.c").write_text("int another;\n")
    build(second)
    assert makes() == before
    build(first)
    assert makes() == before + 1
