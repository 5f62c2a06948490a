# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository that somebody else has made is read, and nothing that it names is run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.errors import PanthorlabError, PatchError, SourceError
from panthorlab.kernel.patch.read import read_all
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.git import reading, top_level
from panthorlab.kernel.source.localsource import RevisionSource, directory_source, revision_source
from panthorlab.kernel.source.spec import resolve

MMU = "drivers/gpu/drm/panthor/panthor_mmu.c"


@pytest.fixture
def hostile(git_tree: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """The tree with everything in its configuration that names a program, and a file each of them would touch."""
    mark = tmp_path / "it-ran"
    program = tmp_path / "evil"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >>{mark}\ncat\n')
    program.chmod(0o755)
    (git_tree.path / ".gitattributes").write_text("*.c filter=evil diff=evil\n*.h filter=evil2 export-subst\n")
    git_tree.git("add", "-A")
    git_tree.git("commit", "-q", "-m", "attributes")
    (git_tree.path / MMU).write_text((git_tree.path / MMU).read_text().replace("x + 1", "x + 2"))
    git_tree.git("commit", "-q", "-a", "-m", "a change")
    git_tree.git("tag", "v2")
    for name in (
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil2.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "diff.external",
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.gitProxy",
        "gpg.program",
        "core.alternateRefsCommand",
        "tar.tar.command",
        "pager.log",
        "pager.status",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "remote.origin.uploadpack",
        "interactive.diffFilter",
    ):
        git_tree.git("config", name, str(program))
    for name, value in (
        ("core.hooksPath", str(tmp_path / "hooks")),
        ("log.showSignature", "true"),
        ("filter.evil2.required", "true"),
        ("alias.status", f"!{program}"),
        ("alias.archive", f"!{program}"),
        ("alias.rev-parse", f"!{program}"),
        ("remote.origin.url", f"ext::{program} %S"),
        ("protocol.ext.allow", "always"),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
    ):
        git_tree.git("config", name, value)
    (tmp_path / "hooks").mkdir()
    for hook in ("post-index-change", "post-checkout", "pre-auto-gc", "reference-transaction", "fsmonitor-watchman"):
        (tmp_path / "hooks" / hook).symlink_to(program)
    mark.unlink(missing_ok=True)
    # Only now, and by hand: git itself would run the filter.
    (git_tree.path / MMU).write_text((git_tree.path / MMU).read_text() + "/* not committed */\n")
    (git_tree.path / "new.h").write_text("int x;\n")
    return SimpleNamespace(path=git_tree.path, git=git_tree.git, mark=mark)


def unpack(source: object, into: Path) -> Path:
    into.mkdir()
    source.unpack(into, quiet)  # type: ignore[attr-defined]
    return into


def test_a_work_tree(hostile: SimpleNamespace, tmp_path: Path) -> None:
    source = directory_source(hostile.path)
    assert isinstance(source, RevisionSource)
    assert [path for path, _ in source.dirty] == [MMU, "new.h"]
    out = unpack(source, tmp_path / "out")
    assert (out / MMU).read_text().endswith("/* not committed */\n")
    assert not hostile.mark.exists(), hostile.mark.read_text()


def test_a_revision(hostile: SimpleNamespace, tmp_path: Path) -> None:
    out = unpack(revision_source(hostile.path, "v2"), tmp_path / "out")
    assert "x + 2" in (out / MMU).read_text()
    assert not hostile.mark.exists(), hostile.mark.read_text()


@pytest.mark.parametrize("spec", ["v1..v2", "v1..", "v1...v2", "HEAD~1..HEAD", "v1..main", "HEAD^.."])
def test_a_range(hostile: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.chdir(hostile.path / "drivers")
    patches = read_all([spec]).patches
    assert patches[-1].title == "a change"
    assert "x + 2" in patches[-1].text
    assert not hostile.mark.exists(), hostile.mark.read_text()


def test_what_is_no_range(hostile: SimpleNamespace) -> None:
    for spec in ("v1..nothing", "--output=x..v2", "v1..v2:Makefile", "..."):
        with pytest.raises(PatchError, match=r"git knows no range|has no commits"):
            read_all([spec], hostile.path)
    assert not hostile.mark.exists()
    assert not list(hostile.path.glob("x*"))


def test_the_baits_work(hostile: SimpleNamespace) -> None:
    """Git itself, asked the same, runs what the repository names."""
    for words in (["status", "--porcelain"], ["archive", "v2"]):
        subprocess.run(["git", "-C", str(hostile.path), *words], capture_output=True, timeout=60, check=False)
        assert "evil" in hostile.mark.read_text()
        hostile.mark.unlink()


@pytest.mark.parametrize(
    "ask",
    [
        lambda path, out: unpack(revision_source(path, "v1"), out),
        lambda path, _: read_all(["v1..v2"], path).patches,
        lambda path, _: resolve(f"{path}@v2"),
    ],
)
def test_what_is_missing_is_not_fetched(
    hostile: SimpleNamespace, tmp_path: Path, ask: Callable[[Path, Path], object]
) -> None:
    """How to fetch it is the repository's to say."""
    for revision in ("v1", "v2"):
        for file in (MMU, "Makefile"):
            name = hostile.git("rev-parse", f"{revision}:{file}").strip()
            (hostile.path / ".git/objects" / name[:2] / name[2:]).unlink(missing_ok=True)
    with pytest.raises(PanthorlabError):
        ask(hostile.path, tmp_path / "out")
    assert not hostile.mark.exists(), hostile.mark.read_text()


def test_a_partial_clone_is_told_what_to_do(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    git_tree.git("config", "uploadpack.allowFilter", "true")
    (git_tree.path / MMU).write_text("int other;\n")
    git_tree.git("commit", "-q", "-a", "-m", "other")
    partial = tmp_path / "partial"
    argv = ["git", "clone", "-q", "--filter=blob:none", f"file://{git_tree.path}", str(partial)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    assert unpack(revision_source(partial, "HEAD"), tmp_path / "head")
    with pytest.raises(SourceError, match="cannot be read") as caught:
        unpack(revision_source(partial, "v1"), tmp_path / "v1")
    assert "partial clone" in (caught.value.hint or "")


def test_what_the_user_ignores_stays_ignored(
    git_tree: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the tree, in the repository, by a setting of it, and by the user's own git."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/git").mkdir(parents=True)
    (tmp_path / "config/git/ignore").write_text("*.one\n")
    (git_tree.path / ".git/info/exclude").write_text("build/\n")
    (git_tree.path / "build").mkdir()
    for name in ("build/x", "a.one", "b.two", "c.three"):
        (git_tree.path / name).touch()

    def dirty() -> list[str]:
        source = directory_source(git_tree.path)
        assert isinstance(source, RevisionSource)
        return [path for path, _ in source.dirty]

    assert dirty() == ["b.two", "c.three"]
    (tmp_path / "ignored").write_text("*.two\n")
    git_tree.git("config", "core.excludesFile", str(tmp_path / "ignored"))
    assert dirty() == ["a.one", "c.three"]


def test_kinds_of_repositories(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    """A work tree beside, one that borrows its objects, a shallow one, a split index, ids of SHA-256."""
    (tmp_path / "sub").mkdir()
    git_tree.git("worktree", "add", "-q", str(tmp_path / "sub/beside"), "-b", "side")
    for options, name in ((("--shared",), 'shared # "1"'), (("--depth=1",), "shallow")):
        argv = [
            "git",
            "clone",
            "-q",
            *options,
            f"file://{git_tree.path}" if "--depth=1" in options else str(git_tree.path),
            str(tmp_path / name),
        ]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    for path in (git_tree.path, tmp_path / "sub/beside", tmp_path / 'shared # "1"', tmp_path / "shallow"):
        subprocess.run(["git", "-C", str(path), "update-index", "--split-index"], check=True, timeout=60)
        (path / "new.c").touch()
        source = directory_source(path)
        assert isinstance(source, RevisionSource)
        assert [name for name, _ in source.dirty] == ["new.c"]
        assert (unpack(source, tmp_path / f"out-{path.name}") / MMU).is_file()
        assert top_level(path / "drivers") == path


def test_sha256(tree: Path, tmp_path: Path) -> None:
    for argv in (
        ["init", "-q", "--object-format=sha256"],
        ["add", "-A"],
        ["-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tree), *argv], check=True, timeout=60)
    source = directory_source(tree)
    assert source.key.startswith("git-")
    assert len(source.key) == 68
    assert (unpack(source, tmp_path / "out") / MMU).is_file()


def test_nothing_is_written(git_tree: SimpleNamespace) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (git_tree.path / ".git").rglob("*")}

    os.utime(git_tree.path / MMU)  # as git would refresh its index for
    before = state()
    directory_source(git_tree.path)
    with reading(git_tree.path) as view:
        assert view.show("HEAD", "Makefile") == (git_tree.path / "Makefile").read_bytes()
    assert state() == before
