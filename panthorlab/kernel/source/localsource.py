# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees on the user's disk: a directory, a git tree at a revision, a tarball. They are only ever read."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import LabError, SourceError
from panthorlab.files import disk_errors
from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import makefile
from panthorlab.kernel.source.archive import UNPACK_SECONDS, extract_argv, unpack_tarball
from panthorlab.kernel.source.git import is_bare, reading, resolve_commit, top_level
from panthorlab.kernel.tools import TREE_BYTES, need_space, pipeline, run

# The stat of everything that could be source: size, times, type and mode, link target.
_MANIFEST = ("-name", ".git", "-prune", "-o", "-printf", r"%P\t%y\t%s\t%T@\t%m\t%l\0")


@dataclass(frozen=True)
class RevisionSource:
    """A git tree object, with uncommitted files laid over it. `dirty`: sha256 (or None: deleted) by path.

    `commit`: id of the commit that the user named; empty if the user named a tree object.
    """

    repository: Path
    tree: str
    name: str
    dirty: tuple[tuple[str, str | None], ...] = ()
    commit: str = ""

    @property
    def key(self) -> str:
        if not self.dirty:
            return f"git-{self.tree}"
        digest = hashlib.sha256(repr((self.tree, self.dirty)).encode()).hexdigest()
        return f"git-{self.tree[:16]}-{digest}"

    @property
    def title(self) -> str:
        has_commit = not self.commit or self.name.endswith(f"@{self.commit}")
        name = self.name if has_commit else f"{self.name} (commit {self.commit[:12]})"
        return f"{name} with {len(self.dirty)} uncommitted files" if self.dirty else name

    def read(self, path: str) -> bytes | None:
        """A file of the tree without unpacking it."""
        for changed, digest in self.dirty:
            if changed == path:
                return reader(self.repository)(path) if digest is not None else None
        with reading(self.repository) as view:
            return view.show(self.tree, path)

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        progress(f"copying {self.title}")
        with reading(self.repository) as view:
            archive = [*view.command, "archive", "--format=tar", self.tree]
            try:
                pipeline([archive, extract_argv(into, strip=0)], timeout=UNPACK_SECONDS)
            except LabError as error:
                if "failed with status" not in str(error):
                    raise
                raise SourceError(
                    f"{self.name} cannot be read: {str(error).partition(': ')[2]}",
                    hint="is the repository whole? a partial clone must first fetch what it lacks, e.g. `git checkout`",
                ) from error
        with disk_errors():
            # First what is gone: later a symbolic link may be in the place of its directory.
            for path, digest in sorted(self.dirty, key=lambda entry: entry[1] is not None):
                _overlay(self.repository / path, into / path, digest)


@dataclass(frozen=True)
class DirectorySource:
    """A directory that is no git work tree, identified by the sizes and times of its files."""

    path: Path
    manifest: str

    @property
    def key(self) -> str:
        return f"dir-{self.manifest}"

    @property
    def title(self) -> str:
        return str(self.path)

    def read(self, path: str) -> bytes | None:
        """A file of the tree without unpacking it."""
        return reader(self.path)(path)

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        progress(f"copying {self.path}")
        read = ["tar", "-c", "-C", str(self.path), "--exclude-vcs", "."]
        pipeline([read, extract_argv(into, strip=0)], timeout=UNPACK_SECONDS)
        if manifest_of(self.path) != self.manifest:
            raise SourceError(f"{self.path} changed while it was copied", hint="try again when nothing writes to it")


@dataclass(frozen=True)
class TarballSource:
    """A tarball of a kernel tree with one top directory."""

    path: Path
    sha256: str

    @property
    def key(self) -> str:
        return f"orig-{self.sha256}"

    @property
    def title(self) -> str:
        return self.path.name

    def unpack(self, into: Path, progress: Progress) -> None:
        need_space(into, TREE_BYTES)
        progress(f"unpacking {self.path.name}")
        try:
            unpack_tarball(self.path, into)
        except LabError as error:
            if "failed with status" not in str(error):  # no program, no time
                raise
            raise SourceError(
                f"{self.path} cannot be unpacked: {str(error).splitlines()[0].partition(': ')[2]}",
                hint="is it whole, and a tarball of a kernel tree?",
            ) from error


def directory_source(path: Path) -> RevisionSource | DirectorySource:
    """A kernel tree as it is on disk, uncommitted changes included. Raises SourceError if it is none."""
    if is_bare(path):
        raise SourceError(f"{path} is a bare git repository", hint=f"which revision? e.g. {path}@v6.12")
    makefile.check_tree(str(path), reader(path))
    if (path / ".git").exists() and top_level(path) == path:
        tree = resolve_commit(path, "HEAD")
        return RevisionSource(path, tree, str(path), tuple(_dirty_files(path)), _commit(path, "HEAD"))
    return DirectorySource(path, manifest_of(path))


def revision_source(path: Path, revision: str) -> RevisionSource:
    """The tree of a git repository at `revision`. Raises SourceError if there is none, or it is no kernel."""
    tree = resolve_commit(path, revision)
    name = f"{path}@{revision}"
    with reading(path) as view:
        makefile.check_tree(name, lambda file: view.show(tree, file))
    return RevisionSource(path, tree, name, commit=_commit(path, revision))


def _commit(path: Path, revision: str) -> str:
    """The commit that `revision` names; empty if it names a tree, which no commit need have."""
    try:
        return resolve_commit(path, revision, "commit")
    except SourceError:
        return ""


def tarball_source(path: Path) -> TarballSource:
    """A tarball on disk. Only its unpacking shows whether it is a kernel."""
    if ".tar" not in path.suffixes[-2:] and path.suffix != ".tar":
        raise SourceError(f"{path} is a file, not a kernel tree", hint="give its directory, or a .tar.xz of it")
    with path.open("rb") as file:
        return TarballSource(path, hashlib.file_digest(file, "sha256").hexdigest())


def reader(root: Path) -> ReadFile:
    """A function that reads files of a tree by relative path; it does not wait for a pipe in place of a file."""
    return lambda file: (root / file).read_bytes() if (root / file).is_file() else None


def manifest_of(path: Path) -> str:
    """A digest of the stat of every file under `path`, without .git: changes whenever a file does."""
    listing = run(["find", str(path), *_MANIFEST], timeout=300).stdout
    return hashlib.sha256(b"\0".join(sorted(listing.split(b"\0")))).hexdigest()


def _dirty_files(repository: Path) -> list[tuple[str, str | None]]:
    with reading(repository) as view:
        status = view.git(
            "status",
            "--porcelain=v1",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            "--ignore-submodules=all",
            timeout=300,
        )
    entries = [
        (entry[:2].decode(), entry[3:].decode(errors="surrogateescape"))
        for entry in status.split(b"\0")
        if len(entry) > 3
    ]
    for code, name in entries:
        if "U" in code or code in ("AA", "DD"):
            raise SourceError(
                f"{repository} has conflicts of a merge that are not resolved, e.g. in {name}",
                hint="resolve them, or give a revision: PATH@REV",
            )
    # What is gone must not be looked for: a symbolic link in the place of its directory may lead to the like.
    there = {name for code, name in entries if "D" not in code}
    names = sorted({name for _, name in entries})
    return [(name, _content_digest(repository / name) if name in there else None) for name in names]


def _content_digest(path: Path) -> str | None:
    if path.is_symlink():
        return hashlib.sha256(b"link " + os.fsencode(path.readlink())).hexdigest()
    if not path.is_file():
        return None
    mode = b"x" if os.access(path, os.X_OK) else b"-"
    return hashlib.sha256(mode + path.read_bytes()).hexdigest()


def _overlay(source: Path, target: Path, digest: str | None) -> None:
    """Make `target` equal to `source` as it was when its `digest` was taken."""
    if digest is not None and _content_digest(source) != digest:
        raise SourceError(f"{source} changed while it was copied", hint="try again when nothing writes to it")
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.is_symlink() or target.exists():
        target.unlink()
    if digest is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
