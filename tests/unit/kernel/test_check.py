# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab check`: the plan, told without anything being touched."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.spec import resolve
from panthorlab.kernel.source.trees import open_base

D = "drivers/gpu/drm/panthor"
MMU, SCHED = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c"
PATCH = f"""\
diff --git a/{MMU} b/{MMU}
--- a/{MMU}
+++ b/{MMU}
@@ -17,5 +17,5 @@

 int panthor_vm_other(int x)
 {{
-\treturn x + 1;
+\treturn x + 2;
 }}
"""
Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path, guest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with `--json`; whatever is on the disk must stay as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*arguments: object) -> tuple[int, dict[str, Any]]:
        before = _disk(tmp_path)
        status = cli.main([*map(str, arguments), "--json"])
        assert _disk(tmp_path) == before, "nothing was touched"
        return status, json.loads(capsys.readouterr().out)

    return call


def _disk(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    (tmp_path / "fix.patch").write_text(PATCH)
    return tmp_path / "fix.patch"


@pytest.mark.parametrize("command", [("check",), ("validate", "--dry-run"), ("build", "--dry-run")])
@pytest.mark.parametrize("unpacked", [False, True])
def test_the_plan(ask: Ask, tree: Path, patch: Path, command: tuple[str, ...], unpacked: bool) -> None:
    if unpacked:
        open_base(resolve(str(tree)), quiet)
    status, plan = ask(*command, patch, "--base", tree)
    assert (status, plan["exit"], plan["error"]) == (0, 0, None)
    assert (plan["base"]["version"], plan["base"]["unpacked"]) == ("6.12.99", unpacked)
    [told] = plan["patches"]
    assert told["files"] == [{"file": MMU, "fit": told["fit"], "detail": told["files"][0]["detail"]}]
    assert told["fit"].startswith("applies")
    assert {side: kernel["stored"] for side, kernel in plan["kernels"].items()} == {"before": False, "after": False}
    assert len({kernel["key"] for kernel in plan["kernels"].values()}) == 2
    assert plan["minutes"] > 4
    assert ("heap-exit-claim" in plan["suites"]) == (command[0] != "build")
    assert not {"deep-leaks", "two-gpus", "lost-memory", "vulkan", "igt"} & set(plan["suites"])


def test_the_tests_that_would_run(ask: Ask, tree: Path, patch: Path) -> None:
    """As `validate` decides: what takes long, wants another kernel or programs that are not there is left out unless it
    is asked for. A job of nothing would not run."""

    def check(*arguments: str) -> tuple[int, list[str], dict[str, str]]:
        status, plan = ask("check", patch, "--base", tree, *arguments)
        return status, plan["suites"], plan["not_run"]

    status, running, left_out = check("--suite", "deep-unplug", "--suite", "lost-memory", "--suite", "vulkan-oom")
    assert (status, running) == (0, ["deep-unplug"]), "it was named"
    reasons = {test.partition("::")[0]: why for test, why in left_out.items()}
    assert reasons.keys() == {"lost_memory", "vulkan_oom"}
    assert "kmemleak" in reasons["lost_memory"]
    assert check("--suite", "lost-memory", "--config", "kmemleak") == (0, ["lost-memory"], {})
    assert check("--suite", "lost-memory", "--deep") == (0, ["lost-memory"], {})
    assert check("--suite", "vulkan-oom", "--overlay", "mesa-vulkan") == (0, ["vulkan-oom"], {})
    status, plan = ask("check", patch, "--base", tree, "--suite", "vulkan-oom")
    assert (status, plan["error"]) == (2, "no test of these suites can run")


def test_the_kernels_that_a_deep_run_builds_beside(ask: Ask, tree: Path, patch: Path) -> None:
    """Those that its tests want, each once, whatever parameters of the GPU they want, too."""

    def beside(*suites: str) -> set[str]:
        status, plan = ask("check", patch, "--base", tree, "--deep", *(f"--suite={name}" for name in suites))
        assert (status, plan["error"]) == (0, None)
        assert plan["minutes"] > 0
        return set(plan["kernels"]) - {"before", "after"}

    assert beside("heap-exit-claim") == {"debug before", "debug after"}
    assert beside("huge-pages", "tiler-oom") == {
        *("debug before", "debug after"),
        *("huge-pages before", "huge-pages after"),
    }


def test_the_plan_of_a_matrix(ask: Ask, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    kernel = str(tmp_path / "built")
    asked = ("matrix", tree, "--kernel", kernel, "--suite", "leaks", "--dry-run", "--output", tmp_path / "matrix")
    status, plan = ask(*asked)
    assert (status, plan["exit"], plan["suites"], plan["boards"]) == (0, 0, ["leaks"], ["qemu-g610"])
    built, given = plan["kernels"]
    assert (built["asked"], built["title"], built["stored"], len(built["key"])) == (str(tree), "6.12.99", False, 64)
    assert (given["asked"], given["key"]) == (kernel, None)
    assert plan["minutes"] > 4
    tarball = tmp_path / "linux.tar"
    subprocess.run(["tar", "-C", str(tree.parent), "-cf", str(tarball), tree.name], check=True)
    status, plan = ask(*asked[:2], tarball, *asked[2:])
    assert (status, plan["exit"], plan["minutes"]) == (3, 3, None)
    assert "not in the cache yet" in plan["kernels"][1]["unknown"]


def test_the_plan_of_a_bisect(ask: Ask, git_tree: SimpleNamespace, tmp_path: Path) -> None:
    for number in range(5):
        (git_tree.path / MMU).write_text((git_tree.path / MMU).read_text() + f"int more_{number};\n")
        git_tree.git("commit", "-qam", f"More {number}")
    skip = git_tree.git("rev-parse", "HEAD~2").strip()
    ends = ("--good", "v1", "--bad", "HEAD", "--skip", skip)
    asked = ("bisect", "--base", git_tree.path, *ends, "--suite", "heap-exit-claim", "--dry-run")
    status, plan = ask(*asked, "--output", tmp_path / "bisect")
    assert (status, plan["exit"], plan["commits"], plan["skipped"]) == (0, 0, 5, 1)
    assert {name: (end["title"], end["stored"]) for name, end in plan["ends"].items()} == {
        "good": ("6.12.99", False),
        "bad": ("6.12.99", False),
    }
    assert plan["ends"]["good"]["key"] != plan["ends"]["bad"]["key"]
    assert (plan["builds"], plan["boots"], plan["suites"]) == (7, 16, ["heap-exit-claim"])
    assert plan["minutes"] > 4


def test_a_git_tree_is_read_where_it_is(ask: Ask, git_tree: SimpleNamespace, patch: Path) -> None:
    assert ask("check", patch, "--base", f"{git_tree.path}@v1")[0] == 0
    (git_tree.path / MMU).write_text((git_tree.path / MMU).read_text().replace("x + 1", "x + 3"))
    assert ask("check", patch, "--base", f"{git_tree.path}@v1")[0] == 0
    status, plan = ask("check", patch, "--base", git_tree.path)
    assert (status, plan["patches"][0]["fit"]) == (2, "does not apply")


def test_of_each_file_how_it_fits(ask: Ask, tree: Path, patch: Path) -> None:
    patch.write_text(PATCH + PATCH.replace(MMU, SCHED))
    status, plan = ask("check", patch, "--base", tree)
    assert status == 2
    fits = {file["file"]: file["fit"] for file in plan["patches"][0]["files"]}
    assert fits[MMU].startswith("applies")
    assert fits[SCHED] == "does not apply"
    assert plan["hint"]


def test_what_is_not_unpacked_is_not_unpacked(ask: Ask, tree: Path, patch: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "linux.tar"
    subprocess.run(["tar", "-cf", tarball, "-C", tree.parent, tree.name], check=True, timeout=60)
    for base in (str(tarball), "debian:6.18.5", "kernel.org:6.18.5"):
        status, plan = ask("check", patch, "--base", base)
        assert (status, plan["base"]) == (3, None)
        assert "not in the cache" in plan["error"]
        assert plan["series"][0]["patches"] == ["fix.patch"]


def test_the_base_that_it_was_made_for(ask: Ask, git_tree: SimpleNamespace, patch: Path) -> None:
    commit = git_tree.git("rev-parse", "v1").strip()
    patch.write_text(f"{PATCH}-- \n2.45\n\nbase-commit: {commit}\n")
    assert not [note for note in ask("check", patch, "--base", git_tree.path)[1]["notes"] if "base-commit" in note]
    (git_tree.path / "Kconfig").open("a").write("# more\n")
    git_tree.git("commit", "-q", "-a", "-m", "more")
    _, plan = ask("check", patch, "--base", f"{git_tree.path}@HEAD")
    assert any("1 commits more and 0 fewer" in note for note in plan["notes"])
    _, plan = ask("check", patch, "--base", git_tree.path)
    assert f"the base is the series' own base-commit {commit[:12]}" in plan["notes"]
    assert plan["base"]["title"].endswith(f"@{commit}")
    (git_tree.path / "Kconfig").open("a").write("# not committed\n")
    _, plan = ask("check", patch, "--base", git_tree.path)
    assert any("what is not committed in it is left out" in note for note in plan["notes"])
    patch.write_text(f"{PATCH}-- \n2.45\n\nbase-commit: {'1' * 40}\n")
    _, plan = ask("check", patch, "--base", git_tree.path)
    assert any("does not have" in note for note in plan["notes"])
    assert plan["series"][0]["base_commit"] == "1" * 40


def test_the_newest_revision_that_it_fits(ask: Ask, git_tree: SimpleNamespace, patch: Path) -> None:
    def change(file: str, old: str, new: str) -> str:
        (git_tree.path / file).write_text((git_tree.path / file).read_text().replace(old, new))
        git_tree.git("commit", "-q", "-a", "-m", f"{old} to {new}")
        return str(git_tree.git("rev-parse", "HEAD").strip())

    newest = change("Kconfig", "Always", "Ever")
    change(MMU, "x + 1", "x + 7")
    change("Kconfig", "Ever", "Never")
    change(MMU, "x + 7", "x + 8")
    status, plan = ask("check", patch, "--base", git_tree.path)
    assert status == 0
    assert any(f"the base is commit {newest[:12]}, the newest of its history" in note for note in plan["notes"])
    assert any("(2 tried)" in note for note in plan["notes"])
    assert ask("check", patch, "--base", f"{git_tree.path}@HEAD")[0] == 2, "what is named is taken"
    assert ask("check", patch, "--base", git_tree.path, "--revert")[0] == 2, "it must have the patch"
    git_tree.git("checkout", "-q", "--orphan", "other")
    change(MMU, "x + 8", "x + 9")
    status, plan = ask("check", patch, "--base", git_tree.path)
    assert status == 0
    assert any("the newest tip of its branches and tags" in note for note in plan["notes"]), "v1"
    patch.write_text(PATCH.replace("x + 1", "x + 100"))
    status, plan = ask("check", patch, "--base", git_tree.path)
    assert (status, plan["patches"][0]["fit"]) == (2, "does not apply")
    assert any("no other revision fits either" in note for note in plan["notes"])


def test_of_a_bare_tree_a_revision_is_chosen(ask: Ask, git_tree: SimpleNamespace, patch: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git_tree.git("clone", "-q", "--bare", str(git_tree.path), str(bare))
    assert ask("check", patch, "--base", bare)[0] == 0


def test_no_patch_commands_the_terminal(ask: Ask, tree: Path, patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patch.write_text(PATCH.replace("\treturn x + 1;", "\treturn x + \x1b[2J\x07\u202e9;"))
    for arguments in (("check",), ("validate",)):
        assert cli.main([*arguments, str(patch), "--base", str(tree)]) == 2
        shown = "".join(capsys.readouterr())
        assert "does not fit" in shown or "does not apply" in shown
        assert not set(shown) & set("\x1b\x07\u202e")


def test_for_people(ask: Ask, tree: Path, patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(patch), "--base", str(tree)]) == 0
    out = capsys.readouterr().out
    for word in (
        "series  “fix.patch”",
        "base    Linux 6.12.99",
        f"{MMU}: applies",
        "to be built",
        "suites  probe",
        "not run (coherent::",
        "time    about",
    ):
        assert word in out
