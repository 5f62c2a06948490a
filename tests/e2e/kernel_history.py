# SPDX-License-Identifier: GPL-2.0-or-later
"""A git history on top of a real kernel tree: most commits cannot change panthor's kernel, one brings a bug back.

Authors, times and texts are fixed, so the same tree gives the same commits, and kernels that were built from them
before are found again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.read import read

DRIVER: Final = "drivers/gpu/drm/panthor"
_WHO: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"), ("DATE", "1700000000 +0000"))
}


@dataclass(frozen=True)
class Made:
    """`commits`: of all, oldest first; the first is the tree as it was. `planted`: which one has the bug."""

    repository: Path
    commits: tuple[str, ...]
    planted: str


def git(repository: Path, *argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """Output of a git command in the repository, without the last newline."""
    done = subprocess.run(
        ["git", "-C", str(repository), *argv],
        input=stdin,
        capture_output=True,
        check=True,
        env={**os.environ, **_WHO, "GIT_CONFIG_GLOBAL": "/dev/null", **(env or {})},
    )
    return done.stdout.decode().rstrip("\n")


def make_history(repository: Path, tree: Path, bug: Path, *, commits: int, at: int, harmless: list[Path]) -> Made:
    """`tree` and `commits` on top of it; number `at` (from 1) applies the patch `bug`, others the `harmless` ones."""
    first = _first(repository, tree)
    files: dict[str, bytes] = {}
    rows = [first]

    def content(path: str) -> bytes | None:
        return files[path] if path in files else (tree / path).read_bytes() if (tree / path).is_file() else None

    places = [commits * share // (len(harmless) + 1) for share in range(1, len(harmless) + 1)]
    patches = {place + (place == at): patch for place, patch in zip(places, harmless, strict=True)} | {at: bug}
    planted = ""
    for number in range(1, commits + 1):
        if number in patches:
            subject, changes = f"Apply {patches[number].stem}", _patched(patches[number], content)
        else:
            subject, changes = _idle(number, content)
        files |= changes
        for path, data in changes.items():
            blob = git(repository, "hash-object", "-w", "--stdin", stdin=data)
            git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        rows.append(git(repository, "commit-tree", "-p", rows[-1], "-m", subject, git(repository, "write-tree")))
        planted = rows[-1] if number == at else planted
    git(repository, "update-ref", "refs/heads/master", rows[-1])
    git(repository, "symbolic-ref", "HEAD", "refs/heads/master")
    return Made(repository, tuple(rows), planted)


def _first(repository: Path, tree: Path) -> str:
    """A new repository's commit of the whole tree; files that the tree ignores are part of it."""
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "--bare", ".")
    git(repository, "config", "gc.auto", "0")
    for name in ("core.compression", "pack.window"):  # of 80,000 files: the disk is faster than zlib and deltas
        git(repository, "config", name, "0")
    git(tree, "add", "-A", "-f", ".", env={"GIT_WORK_TREE": str(tree), "GIT_DIR": str(repository)})
    return git(repository, "commit-tree", "-m", "The kernel", git(repository, "write-tree"))


def _patched(patch: Path, content: Callable[[str], bytes | None]) -> dict[str, bytes]:
    _, changes = apply_all(read(patch.read_bytes(), patch.name).patches, content, "the tree")
    return {path: data for path, data in changes.items() if data is not None}


def _idle(number: int, content: Callable[[str], bytes | None]) -> tuple[str, dict[str, bytes]]:
    """A commit that cannot change the kernel: a comment of the driver's, documents, a driver that is not built."""
    kind = number % 3
    path = (
        f"{DRIVER}/panthor_drv.c",
        "Documentation/gpu/drivers.rst",
        "drivers/net/ethernet/intel/e1000/e1000_main.c",
    )[kind]
    line = (f"/* Remark {number}. */\n", f"Remark {number}.\n", f"int remark_{number};\n")[kind]
    return f"{path}: remark {number}", {path: (content(path) or b"") + line.encode()}
