# SPDX-License-Identifier: GPL-2.0-or-later
"""A git history on top of a real kernel tree: most commits cannot change panthor's kernel, one brings a bug back.

Authors, times and texts are fixed, so the same tree gives the same commits, and kernels that were built from them
before are found again. Of the tree's 80,000 files the history has those that a build of the kernel reads, by the
records of one, and what the commits touch: to read, pack, fetch and unpack all of them takes longer than to build it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.read import read
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.source.trees import read_base

DRIVER: Final = "drivers/gpu/drm/panthor"
BRANCH: Final = "refs/heads/master"
_IDLE: Final = {
    f"{DRIVER}/panthor_drv.c": "/* Remark {}. */\n",
    "Documentation/gpu/drivers.rst": "Remark {}.\n",
    "drivers/net/ethernet/intel/e1000/e1000_main.c": "int remark_{};\n",
}
"""What commits that cannot change the kernel add: a comment of the driver's, documents, a driver that is not built."""
_WHOLE: Final = ("include/", "arch/arm64/include/")
"""Headers are needed there also if nothing includes them: Makefiles make lists of them."""
_SECONDS: Final = 1_700_000_000


@dataclass(frozen=True)
class Made:
    """`commits`: of all, oldest first; the first is the tree as it was. `planted`: which one has the bug."""

    repository: Path
    commits: tuple[str, ...]
    planted: str


def git(repository: Path, *argv: str) -> str:
    """Output of a git command in the repository, without the last newline."""
    done = subprocess.run(
        ["git", "-C", str(repository), *argv],
        capture_output=True,
        check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"},
    )
    return done.stdout.decode().rstrip("\n")


@dataclass(frozen=True)
class Tree:
    """`is_read`: whether a build of it reads the file at a path."""

    base: Base
    is_read: Callable[[str], bool]


def make_history(repository: Path, tree: Tree, bug: Path, *, commits: int, at: int, harmless: list[Path]) -> Made:
    """`tree` and `commits` on top of it; number `at` (from 1) applies the patch `bug`, others the `harmless` ones."""
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "--bare", "--initial-branch=master", ".")
    git(repository, "config", "core.compression", "0")  # the disk is faster than zlib
    argv = ["git", "-C", str(repository), "fast-import", "--quiet", "--depth=0"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}) as process:
        assert process.stdin is not None
        _commit(process.stdin, "The kernel", _files(tree))
        _more(process.stdin, tree.base, bug, commits, at, harmless)
    assert process.returncode == 0
    rows = tuple(git(repository, "rev-list", "--reverse", BRANCH).split())
    assert len(rows) == 1 + commits
    return Made(repository, rows, rows[at])


def _more(into: IO[bytes], base: Base, bug: Path, commits: int, at: int, harmless: list[Path]) -> None:
    files: dict[str, bytes] = {}

    def content(path: str) -> bytes | None:
        return files[path] if path in files else read_base(base, path)

    places = [commits * share // (len(harmless) + 1) for share in range(1, len(harmless) + 1)]
    patches = {place + (place == at): patch for place, patch in zip(places, harmless, strict=True)} | {at: bug}
    for number in range(1, commits + 1):
        if number in patches:
            subject = f"Apply {patches[number].stem}"
            _, made = apply_all(read(patches[number].read_bytes(), patches[number].name).patches, content, "the tree")
            changes = {path: data for path, data in made.items() if data is not None}
        else:
            path, line = _idle(number)
            subject, changes = f"{path}: remark {number}", {path: (content(path) or b"") + line.encode()}
        files |= changes
        _commit(into, subject, ((path, "100644", data) for path, data in changes.items()))


def _commit(into: IO[bytes], subject: str, files: Iterator[tuple[str, str, bytes]]) -> None:
    """On top of what the branch has."""
    who = f"Test <test@example.org> {_SECONDS} +0000\n"
    message = f"{subject}\n".encode()
    into.write(f"commit {BRANCH}\nauthor {who}committer {who}data {len(message)}\n".encode() + message)
    for path, mode, data in files:
        into.write(f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data + b"\n")


def _files(tree: Tree) -> Iterator[tuple[str, str, bytes]]:
    """Path, mode and content of each, as it was unpacked, whatever another run has patched meanwhile."""
    top = tree.base.path
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names + [link for link in folders if Path(folder, link).is_symlink()]):
            place = Path(folder, name)
            path = str(place.relative_to(top))
            if place.is_symlink():
                yield path, "120000", os.fsencode(place.readlink())
            elif (tree.is_read(path) or path.startswith(_WHOLE) or path in _IDLE) and (
                data := read_base(tree.base, path)
            ) is not None:
                yield path, "100755" if os.access(place, os.X_OK) else "100644", data


def _idle(number: int) -> tuple[str, str]:
    path = tuple(_IDLE)[number % len(_IDLE)]
    return path, _IDLE[path].format(number)
