# SPDX-License-Identifier: GPL-2.0-or-later
"""The commits between a good and a bad one, and which of them cannot change a build.

Each commit gets a fingerprint of all that a build can see, from the changes that lead to it. A commit with that of its
parent is the same kernel, and a merge with that of one parent has taken nothing of the others: neither can be the
culprit, and neither has to be built (git calls them TREESAME, of files instead of kernels).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.source.base import Changes
from panthorlab.kernel.source.ctext import bare
from panthorlab.kernel.source.git import View, git, is_repository, reading, resolve_commit
from panthorlab.text import readable

GIT_SECONDS: Final = 900.0
_RAW: Final = ("--raw", "-r", "-z", "--no-renames", "--no-abbrev", "--no-color", "--no-ext-diff", "-O/dev/null")
_PLAIN: Final = ("100644", "100755", "000000")
_AT_ONCE: Final = 400
IsRead = Callable[[str], bool]
"""Whether a build may read the file at this path of the tree."""


@dataclass(frozen=True)
class FileChange:
    """Of one file: its modes and objects before and after; zeros where it is not there."""

    path: str
    old_mode: str
    mode: str
    old: str
    new: str


@dataclass(frozen=True)
class Commit:
    """`subject`: fit to be shown. `changes`: against its first parent; against the good end if it has none."""

    id: str
    parents: tuple[str, ...]
    subject: str
    changes: tuple[FileChange, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.id[:12]} ({self.subject})"


@dataclass(frozen=True)
class History:
    """The commits that have `bad`, and none of `good`; parents before children, `bad` the last. `outside`: what their
    parents that are not among them differ in from `good[0]`."""

    repository: Path
    good: tuple[str, ...]
    bad: str
    commits: tuple[Commit, ...]
    outside: dict[str, tuple[FileChange, ...]]


def read_history(repository: Path, good: Sequence[str], bad: str) -> History:
    """Raises SourceError if there is no way from `good` to `bad`, or a part of it is missing."""
    if not is_repository(repository):
        raise SourceError(f"{repository} is not a git repository", hint="bisect needs the history: --base PATH")
    goods = tuple(dict.fromkeys(resolve_commit(repository, name, "commit") for name in good))
    tip = resolve_commit(repository, bad, "commit")
    with reading(repository) as view:
        for name, commit in zip(good, goods, strict=False):
            _check_way(repository, view, name, commit, bad, tip)
        commits = tuple(_log(view, goods, tip))
        _check_whole(repository, commits)
        known = {commit.id for commit in commits}
        outside = {parent for commit in commits for parent in commit.parents} - known - {goods[0]}
        roots = [commit for commit in commits if not commit.parents]
        differ = {name: _diff(view, goods[0], name) for name in [*sorted(outside), *(root.id for root in roots)]}
    return History(
        repository,
        goods,
        tip,
        tuple(
            commit if commit.parents else Commit(commit.id, (), commit.subject, differ[commit.id]) for commit in commits
        ),
        differ,
    )


def _check_way(repository: Path, view: View, good_name: str, good: str, bad_name: str, bad: str) -> None:
    if good == bad:
        raise SourceError(f"{good_name} and {bad_name} are the same commit, {good[:12]}", hint="give two that differ")

    def has(older: str, newer: str) -> bool:
        return not view.git("rev-list", "--max-count=1", older, f"^{newer}", timeout=GIT_SECONDS).strip()

    if has(good, bad):
        return
    if has(bad, good):
        raise SourceError(
            f"the good commit {good_name} is newer than the bad one {bad_name}",
            hint="to find what mended a fault, call its absence bad: exchange them, with --term-old and --term-new",
        )
    base = view.git("rev-list", "--max-count=1", "--boundary", f"{good}...{bad}", timeout=GIT_SECONDS)
    bases = git(repository, "merge-base", good, bad, ok=(0, 1, 128)).decode().split()
    if not base or not bases:
        shallow = _shallow(repository)
        raise SourceError(
            f"{good_name} and {bad_name} have no commit in common",
            hint="this is a shallow clone: `git fetch --unshallow` first" if shallow else "are both of the same tree?",
        )
    raise SourceError(
        f"{good_name} is no ancestor of {bad_name}: they part at {bases[0][:12]}",
        hint=f"test that one as the good end: --good {bases[0][:12]}",
    )


def _shallow(repository: Path) -> frozenset[str]:
    """Commits whose parents a shallow clone has left out."""
    path = git(repository, "rev-parse", "--path-format=absolute", "--git-path", "shallow").decode().strip()
    file = Path(path)
    return frozenset(file.read_text().split()) if file.is_file() else frozenset()


def _check_whole(repository: Path, commits: Sequence[Commit]) -> None:
    cut = _shallow(repository)
    if torn := next((commit for commit in commits if commit.id in cut), None):
        raise SourceError(
            f"the clone is shallow: of the commits to search, the parents of {torn.name} are missing",
            hint="`git fetch --unshallow`, or --shallow-since a time before the good commit",
        )


def _log(view: View, goods: Sequence[str], bad: str) -> Iterator[Commit]:
    mark = secrets.token_hex(16)  # subjects and paths may have any byte that a format could be split by
    out = view.git(
        "log",
        "--topo-order",
        "--reverse",
        f"--format={mark}%H {mark}%P {mark}%s{mark}",
        "--diff-merges=first-parent",
        "--no-show-signature",
        "--no-notes",
        *_RAW,
        bad,
        *(f"^{good}" for good in goods),
        "--",
        timeout=GIT_SECONDS,
    )
    fields = out.split(mark.encode())[1:]
    for name, parents, subject, raw in zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=True):
        above = tuple(parents.decode().split())
        changes = tuple(_changes(raw)) if above else ()
        yield Commit(name.decode().strip(), above, readable(subject.decode(errors="replace")), changes)


def _diff(view: View, old: str, new: str) -> tuple[FileChange, ...]:
    return tuple(_changes(view.git("diff-tree", *_RAW, old, new, "--", timeout=GIT_SECONDS)))


def _changes(raw: bytes) -> Iterator[FileChange]:
    """Of `--raw -z`: `:MODE MODE OBJECT OBJECT STATUS`, a NUL, the path, a NUL."""
    fields = raw.strip(b"\n\0").split(b"\0")
    for facts, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, mode, old, new, _ = facts.lstrip(b"\n").removeprefix(b":").decode().split(" ")
        yield FileChange(path.decode(errors="surrogateescape"), old_mode, mode, old, new)


@dataclass(frozen=True)
class TreeChanges:
    """From one tree to another. `executable`: of each file that is there in the end, whether it can be run."""

    content: Changes
    executable: Mapping[str, bool] = field(default_factory=dict)


def changes_to(repository: Path, base: str, commit: str) -> TreeChanges | None:
    """What makes the tree `commit` of the tree `base`; None if files alone do not: a link or a submodule differs."""
    with reading(repository) as view:
        changes = _diff(view, base, commit)
        if any(change.mode not in _PLAIN or change.old_mode not in _PLAIN for change in changes):
            return None
        blobs = dict(_blobs(view, {change.new for change in changes if change.mode != "000000"}))
    there = {change.path: change for change in changes if change.mode != "000000"}
    return TreeChanges(
        {change.path: blobs[change.new] if change.path in there else None for change in changes},
        {path: change.mode == "100755" for path, change in there.items()},
    )


def _blobs(view: View, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The contents of objects."""
    wanted = sorted(names)
    for first in range(0, len(wanted), _AT_ONCE):
        part = wanted[first : first + _AT_ONCE]
        out = view.git("cat-file", "--batch", timeout=GIT_SECONDS, stdin="".join(f"{name}\n" for name in part).encode())
        for name in part:
            head, _, out = out.partition(b"\n")
            if not head.startswith(name.encode()) or b" blob " not in head:
                raise LabError(
                    f"the repository lacks an object: {head.decode(errors='replace')}",
                    hint="a partial clone must first fetch what it lacks: `git fetch --refetch`",
                )
            size = int(head.split()[2])
            yield name, out[:size]
            out = out[size + 1 :]


def fingerprints(history: History, is_read: IsRead) -> dict[str, int]:
    """Of each commit, its parents outside and the good end: equal ones are the same to the build."""
    marks = _Marks(history, is_read)
    found = {history.good[0]: 0}
    for name, changes in history.outside.items():
        found[name] = marks.of(changes)
    for commit in history.commits:
        found[commit.id] = (found[commit.parents[0]] if commit.parents else 0) ^ marks.of(commit.changes)
    return found


class _Marks:
    """The part of a fingerprint that changes of files are."""

    def __init__(self, history: History, is_read: IsRead) -> None:
        rows = [*(change for commit in history.commits for change in commit.changes)]
        rows += [change for changes in history.outside.values() for change in changes]
        self._is_read = is_read
        sources = {
            name
            for change in rows
            if change.path.endswith((".c", ".h")) and is_read(change.path)
            for name, mode in ((change.old, change.old_mode), (change.new, change.mode))
            if mode in _PLAIN[:2]
        }
        with reading(history.repository) as view:
            self._bare = {name: hashlib.sha256(bare(text)).hexdigest() for name, text in _blobs(view, sources)}

    def of(self, changes: Iterable[FileChange]) -> int:
        mark = 0
        for change in changes:
            if self._is_read(change.path):
                mark ^= self._one(change.path, change.old_mode, change.old)
                mark ^= self._one(change.path, change.mode, change.new)
        return mark

    def _one(self, path: str, mode: str, name: str) -> int:
        if mode == "000000":
            return 0
        content = self._bare.get(name, name) if path.endswith((".c", ".h")) else name
        return int.from_bytes(hashlib.sha256(f"{path}\0{mode}\0{content}".encode(errors="surrogateescape")).digest())


@dataclass(frozen=True)
class Kinship:
    """`head`: of each commit, the oldest that is the same kernel as it; empty if that is good for sure. `parents`: of
    each head that is in the bad kernel, the heads of its parents that are not good; parents before children."""

    head: dict[str, str]
    parents: dict[str, tuple[str, ...]]


def kinship(history: History, marks: dict[str, int]) -> Kinship:
    """Which commits are the same kernel as a parent of theirs."""
    known = {*history.good, *history.outside} - {commit.id for commit in history.commits}
    head = dict.fromkeys(known, "")
    parents: dict[str, tuple[str, ...]] = {}
    for commit in history.commits:
        same = next((name for name in commit.parents if marks[name] == marks[commit.id]), None)
        if same is not None:
            head[commit.id] = head[same]
            continue
        head[commit.id] = commit.id
        parents[commit.id] = tuple(dict.fromkeys(head[name] for name in commit.parents if head[name]))
    taken = {head[history.bad]} - {""}
    for name in reversed(parents):
        taken |= set(parents[name]) if name in taken else set()
    return Kinship(head, {name: above for name, above in parents.items() if name in taken})
