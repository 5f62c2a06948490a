# SPDX-License-Identifier: GPL-2.0-or-later
"""A git history on top of a real kernel tree: most commits cannot change panthor's kernel, one brings a bug back.

Authors, times and texts are fixed, so the same tree gives the same commits, and kernels that were built from them
before are found again. Of the tree's 80,000 files the history has those that a build of the kernel reads, by the
records of one, and what the commits touch: to read, pack, fetch and unpack all of them takes longer than to build it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.read import read
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.source.trees import read_base

DRIVER: Final = "drivers/gpu/drm/panthor"
BRANCH: Final = "refs/heads/master"
ROOT: Final = "tree"
"""Tag of the first commit."""
FLAKY_SUITE: Final = Path(__file__).parents[2] / "benchmarks/suites/test_one_exit.py"
SELDOM: Final = ("--param", "gpu.writeout.delay_ms=0", "--param", "gpu.writeout.jitter_ms=1.25")
"""The bug that is brought back, in a part of the boots: one abrupt end of a process in each, whose heap contexts are
written early, and only now and then after the VM is gone. In exact time the seed says when, on each host the same."""
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


@dataclass(frozen=True)
class Step:
    """A commit to be made: what it makes of the tree's files, which it is given to read."""

    subject: str
    change: Callable[[ReadFile], Mapping[str, bytes]]


@dataclass
class State:
    """The tree's files after some steps. `below`: before the first."""

    below: ReadFile
    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Content of a file now."""
        return self.files[path] if path in self.files else self.below(path)

    def take(self, step: Step) -> Mapping[str, bytes]:
        """What the step changes; nothing has changed if it raises."""
        changes = step.change(self.read)
        self.files |= changes
        return changes


def make_history(repository: Path, tree: Tree, bug: Path, *, commits: int, at: int, harmless: list[Path]) -> Made:
    """`tree` and `commits` on top of it; number `at` (from 1) applies the patch `bug`, others the `harmless` ones."""
    places = [commits * share // (len(harmless) + 1) for share in range(1, len(harmless) + 1)]
    patches = {place + (place == at): patch for place, patch in zip(places, harmless, strict=True)} | {at: bug}
    start_history(repository, tree)
    steps = [patched(patches[number]) if number in patches else idle(number) for number in range(1, commits + 1)]
    rows = grow_history(repository, tree, BRANCH, steps)
    return Made(repository, rows, rows[at])


def start_history(repository: Path, tree: Tree) -> None:
    """A repository whose one commit is the tree."""
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "--bare", "--initial-branch=master", ".")
    git(repository, "config", "core.compression", "0")  # the disk is faster than zlib
    with _importing(repository) as into:
        _commit(into, BRANCH, "The kernel", _files(tree))
    git(repository, "tag", ROOT, BRANCH)


def grow_history(repository: Path, tree: Tree, branch: str, steps: Iterable[Step]) -> tuple[str, ...]:
    """Commits of a new branch (`refs/heads/…`) from the first one on, oldest first; the first is the tree as it was."""
    state = State(lambda path: read_base(tree.base, path))
    with _importing(repository) as into:
        into.write(f"reset {branch}\nfrom refs/tags/{ROOT}^0\n\n".encode())
        for step in steps:
            changes = state.take(step)
            _commit(into, branch, step.subject, ((path, "100644", data) for path, data in changes.items()))
    return tuple(git(repository, "rev-list", "--reverse", branch).split())


def add_commit(repository: Path, branch: str, step: Step) -> str:
    """One more on a branch that is there; its id."""
    changes = step.change(lambda path: f"{git(repository, 'show', f'{branch}:{path}')}\n".encode())
    with _importing(repository) as into:
        into.write(f"reset {branch}\nfrom {branch}^0\n\n".encode())
        _commit(into, branch, step.subject, ((path, "100644", data) for path, data in changes.items()))
    return git(repository, "rev-parse", branch)


def patched(patch: Path, *, reverse: bool = False) -> Step:
    """Apply the patch, or take it back. The step raises UnfitError if that cannot be done."""

    def change(content: ReadFile) -> Mapping[str, bytes]:
        texts = read(patch.read_bytes(), patch.name).patches
        _, made = apply_all(texts, content, "the tree", reverse=reverse)
        return {path: data for path, data in made.items() if data is not None}

    return Step(f"{'Take back' if reverse else 'Apply'} {patch.stem}", change)


def idle(number: int) -> Step:
    """What cannot change panthor's kernel; another for each number."""
    path = tuple(_IDLE)[number % len(_IDLE)]
    line = _IDLE[path].format(number).encode()
    return Step(f"{path}: remark {number}", lambda content: {path: (content(path) or b"") + line})


@contextmanager
def _importing(repository: Path) -> Iterator[IO[bytes]]:
    argv = ["git", "-C", str(repository), "fast-import", "--quiet", "--force", "--depth=0"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}) as process:
        assert process.stdin is not None
        yield process.stdin
    assert process.returncode == 0


def _commit(into: IO[bytes], branch: str, subject: str, files: Iterator[tuple[str, str, bytes]]) -> None:
    """On top of what the branch has."""
    who = f"Test <test@example.org> {_SECONDS} +0000\n"
    message = f"{subject}\n".encode()
    into.write(f"commit {branch}\nauthor {who}committer {who}data {len(message)}\n".encode() + message)
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
