# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a user's git repository without ever writing to it: no index refresh, no locks, no hooks, no monitors."""

from __future__ import annotations

from pathlib import Path

from panthorlab.errors import SourceError
from panthorlab.kernel.tools import run

# safe.directory: the repository may belong to the user who called sudo; nothing of its configuration that runs
# programs is left on.
SAFE = (
    "git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
)


def git(repository: Path, *args: str, timeout: float = 120, ok: tuple[int, ...] = (0,)) -> bytes:
    """Output of a git command that only reads. Raises LabError if it fails."""
    return run([*SAFE, "-C", str(repository), *args], timeout=timeout, ok=ok).stdout


def top_level(path: Path) -> Path | None:
    """Top directory of the work tree that `path` is in, or None."""
    out = git(path, "rev-parse", "--show-toplevel", ok=(0, 128)).decode(errors="replace").strip()
    return Path(out) if out else None


def is_repository(path: Path) -> bool:
    """Whether `path` is in a git repository, with a work tree or without (bare)."""
    return bool(git(path, "rev-parse", "--git-dir", ok=(0, 128)).strip())


def is_bare(path: Path) -> bool:
    """Whether `path` is the top of a repository without a work tree."""
    return (path / "objects").is_dir() and (path / "HEAD").is_file()


def resolve_commit(repository: Path, revision: str, kind: str = "tree") -> str:
    """The tree (or other kind of object) that `revision` names, as an id. Raises SourceError if it names none."""
    if not is_repository(repository):
        raise SourceError(f"{repository} is not a git repository, so it has no revision {revision}")
    argv = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{{kind}}}")
    tree = git(repository, *argv, ok=(0, 1, 128)).decode().strip()
    # --end-of-options is echoed by gits before 2.30; the id is the last line in any case.
    tree = tree.splitlines()[-1] if tree else ""
    if len(tree) not in (40, 64):
        raise SourceError(
            f"{repository} has no revision {revision}", hint="a branch, a tag or a commit id; was it fetched?",
        )
    return tree


def show(repository: Path, tree: str, path: str) -> bytes | None:
    """Content of `path` in `tree`, or None."""
    out = run([*SAFE, "-C", str(repository), "cat-file", "blob", f"{tree}:{path}"], timeout=60, ok=(0, 128))
    return out.stdout if out.returncode == 0 else None
