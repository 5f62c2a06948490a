# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a user's git repository without writing to it, and without running anything that it names.

The configuration of a repository can name programs (filters, monitors, hooks, transports, diff drivers), and a hostile
one does. So only names are looked up in the repository itself, which runs nothing; content is read through a repository
of our own that uses its objects and index, and from its configuration only the settings for comparing files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import SourceError
from panthorlab.kernel.tools import run

# safe.directory: the repository may belong to the user who called sudo.
_GIT = (
    "git",
    "--no-optional-locks",
    "-c",
    "safe.directory=*",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.quotePath=false",
)
# Objects missing in a partial clone are not fetched: the repository's configuration for that may name any program.
_ALONE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
# `env`, so that a pipeline can run it, too.
_OURS = (
    "env",
    *(f"{name}={value}" for name, value in _ALONE.items()),
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_ATTR_NOSYSTEM=1",
)
_HARMLESS = (
    r"^core\.(filemode|ignorecase|symlinks|autocrlf|eol|safecrlf|trustctime|checkstat|precomposeunicode"
    r"|sparsecheckout|sparsecheckoutcone)$"
)
_FILES = ("index", "shallow", "info/exclude", "info/sparse-checkout")


def git(repository: Path, *args: str, timeout: float = 120, ok: tuple[int, ...] = (0,)) -> bytes:
    """Output of a git command that only looks up names and settings. Raises LabError if it fails."""
    return run([*_GIT, "-C", str(repository), *args], timeout=timeout, ok=ok, env=_ALONE).stdout


@dataclass(frozen=True)
class View:
    """Prefix of git commands that read content. Objects are named by id; the only reference is HEAD."""

    command: tuple[str, ...]

    def git(self, *args: str, timeout: float = 120, stdin: bytes = b"") -> bytes:
        """Output of a git command that reads content. Raises LabError if it fails."""
        return run([*self.command, *args], timeout=timeout, stdin=stdin).stdout

    def show(self, tree: str, path: str) -> bytes | None:
        """Content of `path` in `tree`, or None."""
        out = run([*self.command, "cat-file", "blob", f"{tree}:{path}"], timeout=60, ok=(0, 128))
        return out.stdout if out.returncode == 0 else None


@contextmanager
def reading(repository: Path) -> Iterator[View]:
    """A view of `repository` and its work tree, valid within the context. Raises LabError if it is no repository."""

    def look_up(*args: str, ok: tuple[int, ...] = (0,)) -> str:
        return os.fsdecode(git(repository, *args, ok=ok)).removesuffix("\n")

    private, common, hash_name = look_up(
        "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--show-object-format"
    ).split("\n")
    settings = _settings(look_up("config", "-z", "--get-regexp", _HARMLESS, ok=(0, 1)))
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    ignored = look_up("config", "--type=path", "core.excludesfile", ok=(0, 1)) or f"{home}/git/ignore"
    top = look_up("rev-parse", "--show-toplevel", ok=(0, 128))
    with tempfile.TemporaryDirectory(prefix="panthorlab-git-") as scratch:
        ours = Path(scratch)
        for folder in ("refs", "objects/info", "info"):
            (ours / folder).mkdir(parents=True)
        head = look_up("rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1, 128))
        (ours / "HEAD").write_text(f"{head or 'ref: refs/heads/none'}\n")
        (ours / "objects/info/alternates").write_bytes(os.fsencode(f"{_quoted(f'{common}/objects')}\n"))
        (ours / "config").write_bytes(
            os.fsencode(
                "".join(
                    (
                        "[core]\nrepositoryformatversion = 1\nbare = false\n",
                        f"excludesfile = {_quoted(ignored)}\n",
                        *(f"{name.partition('.')[2]} = {_quoted(value)}\n" for name, value in settings.items()),
                        f"[extensions]\nobjectformat = {hash_name}\n",
                    )
                )
            )
        )
        for name in (*_FILES, *(path.name for path in Path(private).glob("sharedindex.*"))):
            there = [path for path in (Path(private, name), Path(common, name)) if path.is_file()]
            if there:
                shutil.copy2(there[0], ours / name)
        yield View((*_OURS, *_GIT, f"--git-dir={scratch}", f"--work-tree={top or scratch}", "-C", top or scratch))


def _settings(listing: str) -> dict[str, str]:
    """The last value of each setting in the output of `git config -z`; one without a value means true."""
    entries = (entry.partition("\n") for entry in listing.split("\0") if entry)
    return {name: value if newline else "true" for name, newline, value in entries}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


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
            f"{repository} has no revision {revision}", hint="a branch, a tag or a commit id; was it fetched?"
        )
    return tree


def resolve_range(repository: Path, spec: str) -> str:
    """`A..B` or `A...B` with ids in the place of the names. Raises SourceError if one names no commit."""
    older, dots, newer = spec.partition("..." if "..." in spec else "..")
    commits = (resolve_commit(repository, name or "HEAD", "commit") for name in (older, newer))
    return dots.join(commits)
