# SPDX-License-Identifier: GPL-2.0-or-later
"""A bare repository of our own for each tree, into which git fetches the branches that are tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.source.git import git, is_bare, resolve_commit
from panthorlab.kernel.tools import run
from panthorlab.nightly.config import SCHEMES
from panthorlab.nightly.model import TreeCommit
from panthorlab.report.text import plain

FETCH_SECONDS: Final = 4 * 3600.0
"""For the first fetch of a kernel's whole history over a slow line."""
KEPT: Final = "refs/panthorlab"
"""Commits that were judged stay, though a branch was pushed over."""
_ENV: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES)}


def fetch(mirror: Path, url: str, branches: Sequence[str], timeout: float | None = None) -> dict[str, TreeCommit]:
    """The tips of the branches, whose commits are then in `mirror`. A branch that is not there is left out.

    Raises LabError if git cannot reach the repository, does not end in `timeout` seconds, or reaches none of them.
    """
    if not is_bare(mirror):
        mirror.mkdir(parents=True, exist_ok=True)
        _git(mirror, "init", "--quiet", "--bare", ".", timeout=60)
    there = tips(url, branches)
    if not there:
        raise LabError(f"{url} has no branch {', '.join(branches)}", hint="correct `branches` of this tree")
    with _at(url):
        _git(
            mirror,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            url,
            *(f"+refs/heads/{branch}:{_ref(branch)}" for branch in there),
            timeout=min(timeout or FETCH_SECONDS, FETCH_SECONDS),
        )
    return {branch: commit_of(mirror, _ref(branch)) for branch in there}


def _ref(branch: str) -> str:
    """What a branch is called here, where one that is gone stays: it must not be in the way of `queue/6.12`, as a file
    is in that of a directory. No branch that nightly.yaml can name has a `%`."""
    return f"refs/heads/{branch.replace('/', '%')}"


@contextmanager
def _at(url: str) -> Iterator[None]:
    """What fails in it says which repository it was."""
    try:
        yield
    except LabError as error:
        raise LabError(f"{url}: {error}", hint=error.hint) from error


def tips(url: str, branches: Sequence[str]) -> dict[str, str]:
    """The ids that the branches have in the repository at `url`; without those that it has not. Raises LabError."""
    names = {f"refs/heads/{branch}": branch for branch in branches}
    with _at(url):
        listing = _git(Path("/"), "ls-remote", "--", url, *names, timeout=600)
    rows = (line.split("\t", 1) for line in listing.splitlines() if "\t" in line)
    return {names[name]: commit for commit, name in rows if name in names}


def keep(mirror: Path, commit: str) -> None:
    """Never let git's own housekeeping take this commit."""
    _git(mirror, "update-ref", f"{KEPT}/{commit}", commit, timeout=60)


def commit_of(mirror: Path, revision: str) -> TreeCommit:
    """With its subject. Raises SourceError if the mirror does not have it."""
    found = resolve_commit(mirror, revision, "commit")
    subject = git(mirror, "log", "-1", "--no-show-signature", "--format=%s", found, "--").decode(errors="replace")
    return TreeCommit(found, plain(subject))


def good_end(mirror: Path, good: str, bad: str) -> str | None:
    """A commit that `bad` has, and that is as good as `good`: itself, or where the two part if a branch was pushed
    over; that one is to be tested. None if there is none, or nothing lies between."""
    try:
        ends = [resolve_commit(mirror, name, "commit") for name in (good, bad)]
    except SourceError:
        return None
    bases = git(mirror, "merge-base", *ends, ok=(0, 1)).decode().split()
    return bases[0] if bases and bases[0] != ends[1] else None


def has(mirror: Path, tip: str, commit: str) -> bool:
    """Whether `commit` is in the history of `tip`; not if the mirror does not know it."""
    try:
        return resolve_commit(mirror, commit, "commit") in git(mirror, "merge-base", tip, commit, ok=(0, 1)).decode()
    except SourceError:
        return False


def _git(repository: Path, *args: str, timeout: float) -> str:
    """The repository is ours, the other end may be hostile: no prompts, no hooks, no transport that runs a program.
    What git tidies up in ours, it does before it ends."""
    settings = ("core.hooksPath=/dev/null", "protocol.ext.allow=never", "gc.autoDetach=false")
    argv = ["git", *(part for one in settings for part in ("-c", one)), "-C", str(repository), *args]
    try:
        return run(argv, timeout=timeout, env=_ENV).stdout.decode(errors="replace")
    except LabError as error:
        what = args[0]
        said = str(error).rpartition("failed with status")[2].partition(": ")[2] or str(error)
        raise LabError(f"git {what}: {plain(said)}", hint="does `git ls-remote` reach it from this machine?") from error
