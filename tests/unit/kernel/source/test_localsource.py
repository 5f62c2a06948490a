# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees on disk: what they are, their keys, and that they are never written to."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source import makefile
from panthorlab.kernel.source.localsource import DirectorySource, RevisionSource, directory_source, manifest_of
from panthorlab.kernel.source.spec import resolve

MMU = "drivers/gpu/drm/panthor/panthor_mmu.c"


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def unpacked(spec: str | Path, into: Path) -> dict[str, bytes]:
    into.mkdir()
    resolve(str(spec)).unpack(into, quiet)
    return contents(into)


def state(root: Path) -> str:
    """Everything about the files of a directory, .git included."""
    entries = [(str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in sorted(root.rglob("*"))]
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def test_directory(tree: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    source = resolve(str(tree))
    assert isinstance(source, DirectorySource)
    before = state(tree)
    assert unpacked(tree, tmp_path / "out") == files
    assert state(tree) == before
    assert resolve(str(tree)).key == source.key


def test_a_directory_that_cannot_be_written(tree: Path, files: dict[str, bytes], tmp_path: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert unpacked(tree, tmp_path / "out") == files


def test_the_key_of_a_directory_changes_with_any_file(tree: Path) -> None:
    first = manifest_of(tree)
    (tree / MMU).write_bytes((tree / MMU).read_bytes() + b"\n")
    second = manifest_of(tree)
    (tree / "new.c").touch()
    assert len({first, second, manifest_of(tree)}) == 3


def test_a_directory_that_changes_while_it_is_copied(tree: Path, tmp_path: Path) -> None:
    source = directory_source(tree)
    (tree / "late.c").write_text("int a;\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError, match="changed while it was copied"):
        source.unpack(tmp_path / "out", quiet)


def test_git_revision(git_tree: SimpleNamespace, files: dict[str, bytes], tmp_path: Path) -> None:
    (git_tree.path / MMU).write_text("later\n")
    git_tree.git("commit", "-q", "-a", "-m", "later")
    (git_tree.path / MMU).write_text("uncommitted\n")
    before = state(git_tree.path)
    assert unpacked(f"{git_tree.path}@v1", tmp_path / "out") == files
    assert unpacked(f"{git_tree.path}@main", tmp_path / "main")[MMU] == b"later\n"
    assert state(git_tree.path) == before, "neither the work tree nor anything in .git may change"


def test_work_tree_with_uncommitted_changes(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    clean = resolve(str(git_tree.path))
    assert clean.key == resolve(f"{git_tree.path}@v1").key, "a clean work tree is its commit"
    (git_tree.path / MMU).write_text("/* changed */\n")
    (git_tree.path / "drivers/new file.c").write_text("int a;\n")
    (git_tree.path / "Kconfig").unlink()
    (git_tree.path / "Kconfig").symlink_to("Makefile")
    (git_tree.path / "drivers/gpu/drm/panthor/panthor_sched.h").unlink()
    before = state(git_tree.path)
    source = resolve(str(git_tree.path))
    assert isinstance(source, RevisionSource)
    assert source.key != clean.key
    assert "4 uncommitted files" in source.title
    out = unpacked(git_tree.path, tmp_path / "out")
    assert state(git_tree.path) == before
    assert out[MMU] == b"/* changed */\n"
    assert out["drivers/new file.c"] == b"int a;\n"
    assert "drivers/gpu/drm/panthor/panthor_sched.h" not in out
    assert (tmp_path / "out/Kconfig").is_symlink()
    git_tree.git("checkout", "-q", "-f", "main")
    git_tree.git("clean", "-qfd")
    assert resolve(str(git_tree.path)).key == clean.key, "the key follows the content, not the times"


@pytest.mark.parametrize("revision", ["nothing", "--all", "v1:Makefile"])
def test_revision_that_is_none(git_tree: SimpleNamespace, revision: str) -> None:
    with pytest.raises(SourceError, match="has no revision"):
        resolve(f"{git_tree.path}@{revision}")


def test_revision_of_what_is_no_repository(tree: Path) -> None:
    with pytest.raises(SourceError, match="not a git repository"):
        resolve(f"{tree}@v1")


@pytest.mark.parametrize("suffix", ["tar.xz", "tar.gz", "tar"])
def test_tarball(tree: Path, files: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    tarball = tmp_path / f"linux-6.12.99.{suffix}"
    subprocess.run(["tar", "-caf", tarball, "-C", tree.parent, tree.name], check=True, timeout=60)
    assert unpacked(tarball, tmp_path / "out") == files


def test_another_project(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("VERSION = 1\nall:\n")
    with pytest.raises(SourceError, match="not a Linux kernel tree") as caught:
        resolve(str(tmp_path))
    assert caught.value.exit_status == 2


def test_without_panthor(tree: Path) -> None:
    (tree / "drivers/gpu/drm/panthor/Kconfig").unlink()
    with pytest.raises(SourceError, match=r"is Linux 6\.12\.99, which has no panthor driver \(it came with 6\.10\)"):
        resolve(str(tree))


@pytest.mark.parametrize("spec", ["debian:6.1.170", "kernel.org:6.9.12", "debian:6.6-rc1"])
def test_too_old_is_known_without_downloading(spec: str, cache: Path) -> None:
    with pytest.raises(SourceError, match="has no panthor driver"):
        resolve(spec)


@pytest.mark.parametrize(
    "spec", ["nowhere", "/nonexistent/linux", "debian:", "kernel.org:", "debian:../../x", "ftp:6.12"]
)
def test_specs_that_name_nothing(spec: str, cache: Path) -> None:
    with pytest.raises(SourceError) as caught:
        resolve(spec)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("makefile_text", "version"),
    [
        ("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\nKBUILD", "7.3.0-rc1"),
        ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\nKBUILD", "6.12.117"),
        ("VERSION = 6\nPATCHLEVEL = 12\nKBUILD", "6.12"),
        ("all:\n", None),
        ("VERSION = 2\nPATCHLEVEL = 1\n", None),
        ("VERSION = 2024\nPATCHLEVEL = 01\nSUBLEVEL =\nEXTRAVERSION =\nKBUILD\n", None),  # U-Boot
    ],
)
def test_kernel_version(makefile_text: str, version: str | None) -> None:
    assert makefile.kernel_version(makefile_text) == version


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        (b"\tpanthor_sched_prepare_for_vm_destruction(vm->ptdev);\n", True),
        (b"\treturn;\n", False),
        (b"\tmy_panthor_sched_prepare_for_vm_destruction(x);\n", False),
    ],
)
def test_fix_detection(text: bytes, fixed: bool) -> None:
    assert PANTHOR.has_fix({MMU: text}.get) is fixed


def test_file_modes_are_readable_by_the_build(tree: Path, tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        unpacked(tree, tmp_path / "out")
    finally:
        os.umask(previous)
    assert (tmp_path / "out" / MMU).stat().st_mode & 0o044 == 0o044


def test_a_directory_became_a_file_or_a_link(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    """What the link leads to is neither read nor removed in the place of what was in the directory."""
    other = tmp_path / "other"
    (git_tree.path / "drivers").rename(other)
    (git_tree.path / "drivers").symlink_to(other)
    shutil.rmtree(git_tree.path / "include")
    (git_tree.path / "include").write_text("a file\n")
    before = state(other)
    (tmp_path / "out").mkdir()
    source = directory_source_of_dirty(git_tree.path)
    source.unpack(tmp_path / "out", quiet)
    assert state(other) == before
    assert (tmp_path / "out/drivers").readlink() == other
    assert (tmp_path / "out/include").read_text() == "a file\n"


def directory_source_of_dirty(path: Path) -> RevisionSource:
    source = directory_source(path)
    assert isinstance(source, RevisionSource)
    return source


def test_a_file_became_a_directory(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    (git_tree.path / MMU).unlink()
    (git_tree.path / MMU).mkdir()
    (git_tree.path / MMU / "x.c").write_text("int a;\n")
    assert unpacked(git_tree.path, tmp_path / "out")[f"{MMU}/x.c"] == b"int a;\n"


def test_conflicts_of_a_merge(git_tree: SimpleNamespace) -> None:
    git_tree.git("checkout", "-q", "-b", "fix")
    for branch in ("fix", "main"):
        git_tree.git("checkout", "-q", branch)
        (git_tree.path / MMU).write_text(f"{branch}\n")
        git_tree.git("commit", "-q", "-a", "-m", branch)
    with pytest.raises(subprocess.CalledProcessError):
        git_tree.git("merge", "-q", "fix")
    with pytest.raises(SourceError, match=f"conflicts.*{MMU}"):
        resolve(str(git_tree.path))
    assert resolve(f"{git_tree.path}@main").key


def test_bare_repository(git_tree: SimpleNamespace, files: dict[str, bytes], tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git_tree.git("clone", "-q", "--bare", ".", str(bare))
    assert unpacked(f"{bare}@v1", tmp_path / "out") == files
    with pytest.raises(SourceError, match="bare git repository") as caught:
        resolve(str(bare))
    assert f"{bare}@" in (caught.value.hint or "")


def test_revisions_and_paths_with_an_at_sign(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    assert resolve(f"{git_tree.path}@HEAD@{{0}}").key == resolve(f"{git_tree.path}@v1").key
    git_tree.path.rename(tmp_path / "me@work")
    assert resolve(f"{tmp_path}/me@work@v1").title.startswith(f"{tmp_path}/me@work@v1 (commit ")


def test_a_git_base_names_its_commit(git_tree: SimpleNamespace) -> None:
    head = git_tree.git("rev-parse", "HEAD").strip()
    named = resolve(f"{git_tree.path}@v1")
    assert isinstance(named, RevisionSource)
    assert (named.commit, named.title) == (head, f"{git_tree.path}@v1 (commit {head[:12]})")
    assert resolve(str(git_tree.path)).title == f"{git_tree.path} (commit {head[:12]})"
    assert resolve(f"{git_tree.path}@{head}").title == f"{git_tree.path}@{head}"
    bare_tree = resolve(f"{git_tree.path}@v1^{{tree}}")
    assert isinstance(bare_tree, RevisionSource)
    assert (bare_tree.commit, bare_tree.key) == ("", named.key)


def test_an_empty_name_is_not_the_current_directory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    with pytest.raises(SourceError, match="empty"):
        resolve("")


def test_from_within_a_git_hook(git_tree: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_tree.git("init", "-q", str(tmp_path / "other"))
    wanted = resolve(str(git_tree.path)).key
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert resolve(str(git_tree.path)).key == wanted
    assert unpacked(f"{git_tree.path}@v1", tmp_path / "out")[MMU]


def test_a_tarball_that_is_damaged(tmp_path: Path) -> None:
    for name, data in (("cut.tar.xz", b"\xfd7zXZ\0 cut off"), ("empty.tar", b"")):
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"out-{name}").mkdir()
        with pytest.raises(SourceError, match=f"{name} cannot be unpacked: (xz|tar): ") as caught:
            resolve(str(tmp_path / name)).unpack(tmp_path / f"out-{name}", quiet)
        assert caught.value.hint


def test_a_tarball_without_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "linux.tar.xz").write_bytes(b"\xfd7zXZ\0 cut off")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="not installed"):
        resolve(str(tmp_path / "linux.tar.xz")).unpack(tmp_path, quiet)
