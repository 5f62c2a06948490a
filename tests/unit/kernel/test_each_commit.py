# SPDX-License-Identifier: GPL-2.0-or-later
"""`build --each-commit` on the tiny tree: every commit built by the host's compiler, what each adds told apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.kernel.jail.sandbox import Sandbox
from tests.unit.kernel.conftest import DRIVER

SCHED, MMU, HEADER = f"{DRIVER}/panthor_sched.c", f"{DRIVER}/panthor_mmu.c", f"{DRIVER}/panthor_sched.h"
EXTRAWARN = """\
ifneq ($(findstring 1, $(KBUILD_EXTRA_WARN)),)
KBUILD_CFLAGS += -Wunused-variable -Wunused-parameter
else
KBUILD_CFLAGS += -Wno-unused-variable
endif
"""
# As checkpatch.pl prints what it finds; the real one is tried on real trees.
CHECKPATCH = """\
while (<>) { print "x.c:7: WARNING:LONG_LINE: line too long\\n" if /^\\+[^+].{40}/ }
"""
Ask = Callable[..., tuple[int, dict[str, Any]]]


def with_scripts(root: Path) -> Path:
    """A tree that also has what the reviews use."""
    (root / "scripts").mkdir()
    (root / "scripts/Kbuild.include").touch()
    (root / "scripts/Makefile.compiler").touch()
    (root / "scripts/Makefile.extrawarn").write_text(EXTRAWARN)
    (root / "scripts/checkpatch.pl").write_text(CHECKPATCH)
    makefile = root / "Makefile"
    makefile.write_text(
        makefile.read_text().replace(
            "\t@echo 6.12.99 >", "\t@cp $(O)/.config $(O)/include/config/auto.conf\n\t@echo 6.12.99 >"
        )
    )
    return root


@pytest.fixture
def history(tmp_path: Path, git_tree: SimpleNamespace) -> SimpleNamespace:
    """The tree as a repository; `change(file, old, new, message)` commits."""
    with_scripts(git_tree.path)
    git_tree.git("add", "-A")
    git_tree.git("commit", "-q", "-m", "drm/panthor: scripts")
    git_tree.git("tag", "-f", "v1")

    def change(file: str, old: str, new: str, message: str = "drm/panthor: change") -> str:
        path = git_tree.path / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        git_tree.git("commit", "-q", "-a", "-m", message)
        return str(git_tree.git("rev-parse", "HEAD").strip())

    return SimpleNamespace(path=git_tree.path, git=git_tree.git, change=change)


@pytest.fixture
def ask(
    tmp_path: Path,
    cache: Path,
    guest: Path,
    fragment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ask:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("panthorlab.run.fleet.fragments_of", lambda *_, **__: [str(fragment)])
    monkeypatch.setattr("panthorlab.kernel.review.checkpatch.sandbox", lambda: Sandbox(False))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, dict[str, Any]]:
        status = cli.main(["build", "--each-commit", *map(str, arguments), "--json", "-q"])
        return status, json.loads(capsys.readouterr().out)

    return call


def test_what_each_commit_adds(ask: Ask, history: SimpleNamespace) -> None:
    wrong = history.git("rev-parse", "v1").strip()
    history.change(SCHED, "ticks++;", "int once;\n\n\tticks++;", f'one\n\nFixes: {wrong[:12]} ("drm/panthor: scripts")')
    history.change(
        MMU, "x + 1", "x - 1 + 4 * 3 - 2 * 5 + 6 - 7 + 8 - 9 * 0", f'two\n\nFixes: {wrong[:12]} ("drm/panthor: other")'
    )
    history.change(
        HEADER,
        "void panthor_sched_suspend(void);",
        "static int panthor_flag;\nvoid panthor_sched_suspend(void);",
        "three",
    )
    history.change(SCHED, "int once;", "int other;", 'four\n\nFixes: 1111111111111111 ("none")')
    status, told = ask("v1..main", "--base", f"{history.path}@v1")
    assert status == 0
    one, two, three, four = told["commits"]
    [warning] = one["warnings"]
    assert warning.startswith(f"{SCHED}:7: unused variable")
    assert "once" in warning
    assert "[-Wunused-variable]" in warning
    assert (two["warnings"], len(two["checkpatch"])) == ([], 1)
    assert "-Wunused-variable" in three["warnings"][0], "a header counts once, whoever includes it"
    assert len(three["warnings"]) == 1
    assert "other" in four["warnings"][0], "instead of another"
    assert [bool(commit["fixes"]) for commit in told["commits"]] == [False, True, False, True]
    assert "is called" in two["fixes"][0]
    assert "there is no commit" in four["fixes"][0]
    assert "scheduler" in one["suites"]
    assert len({commit["built"] for commit in told["commits"]}) == 4
    again, same = ask("v1..main", "--base", f"{history.path}@v1")
    assert (again, [commit["warnings"] for commit in same["commits"]]) == (
        0,
        [commit["warnings"] for commit in told["commits"]],
    )


def test_a_commit_that_does_not_build(ask: Ask, history: SimpleNamespace) -> None:
    history.change(SCHED, "ticks++;", "ticks+;", "broken")
    history.change(SCHED, "ticks+;", "ticks += 2;", "mended")
    status, told = ask("v1..main", "--base", f"{history.path}@v1")
    assert status == 1
    broken, mended = told["commits"]
    assert (broken["built"], mended["error"]) == (None, None)
    assert "panthor_sched.c" in broken["error"]
    assert mended["built"]


def test_objects_that_are_gone(ask: Ask, history: SimpleNamespace, cache: Path) -> None:
    history.change(SCHED, "ticks++;", "int once;\n\n\tticks++;", "one")
    assert ask("v1..main", "--base", f"{history.path}@v1")[1]["commits"][0]["warnings"]
    for objects in cache.glob("trees/*/obj-*"):
        shutil.rmtree(objects)
    assert ask("v1..main", "--base", f"{history.path}@v1")[1]["commits"][0]["warnings"], "of kernels in the store, too"


def test_a_tree_that_cannot_be_checked(ask: Ask, history: SimpleNamespace) -> None:
    history.git("rm", "-q", "scripts/checkpatch.pl")
    history.git("commit", "-q", "-m", "gone")
    history.git("tag", "-f", "v1")
    history.change(SCHED, "ticks++;", "ticks += 1;")
    assert ask("v1..main", "--base", f"{history.path}@v1")[0] == 4, "not checked is not passed"
