# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that differ in a few files of each other, built one after the other in one private tree.

What such a kernel is, and its key in the store, says what it is made of; where it is built, and what was built there
before, changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panthorlab.arch import DEFAULT
from panthorlab.errors import PatchError, SourceError
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.driver import PANTHOR, ReadFile
from panthorlab.kernel.job import DEFAULT_FRAGMENTS
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.setting import Setting, open_setting
from panthorlab.kernel.source import makefile, trees
from panthorlab.kernel.source.base import Base, Changes
from panthorlab.kernel.source.commits import TreeChanges, changes_to
from panthorlab.kernel.source.spec import Source, resolve
from panthorlab.outcome import Side

MOST_FILES: Final = 5000
"""Of a tree that differs in more, an increment takes little less than the whole, and keeps all of it twice."""
NOTHING: Final = TreeChanges({})


def prepare_changes(
    base_spec: str,
    changes: TreeChanges,
    *,
    title: str = "",
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    arch: str = DEFAULT.name,
    progress: Progress = quiet,
) -> SidePlan:
    """One kernel: the base with `changes`. `title`: if empty, its version. Raises as `job.prepare_kernel`."""
    return _plan(open_setting(base_spec, fragments, arch, progress), changes, title)


def prepare_commit(
    repository: Path,
    commit: str,
    changes: TreeChanges = NOTHING,
    *,
    near: str,
    title: str = "",
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    arch: str = DEFAULT.name,
    progress: Progress = quiet,
) -> tuple[SidePlan, str]:
    """One kernel: `commit` with `changes`, by the same key and as whole as `prepare_kernel` or `prepare_changes` would
    give it, but in the private tree of the commit `near`, as an increment of what was built there last.

    If files alone do not lead from one to the other, or too many, it is in a tree of its own. Gives also the commit in
    whose tree it is. `title`: if empty, its version. Raises as `job.prepare_kernel`.
    """
    spec = f"{repository}@{commit}"
    home, differ = _home(repository, commit, near, progress)
    if home is None:
        return prepare_changes(spec, changes, title=title, fragments=fragments, arch=arch, progress=progress), commit

    def opened(source: Source, _: Progress) -> tuple[Base, ReadFile]:
        return _as_base(home, differ, source)

    plan = _plan(open_setting(spec, fragments, arch, progress, opened=opened), changes, title)
    return (
        replace(
            plan,
            base=replace(plan.base, key=home.key),  # the tree that is locked and written
            changes={**differ.content, **changes.content},
            executable={**differ.executable, **changes.executable},
        ),
        near,
    )


def _plan(setting: Setting, changes: TreeChanges, title: str) -> SidePlan:
    """The base with those of `changes` that make another kernel of it."""
    trees.check_changes(setting.base, changes.content)
    own = {
        path: data for path, data in changes.content.items() if path in changes.executable or setting.read(path) != data
    }
    plan = setting.plan(Side.AFTER, (), own)
    return replace(plan, title=title or plan.title, executable=changes.executable)


def has_tree(repository: Path, commit: str) -> bool:
    """Whether the cache has a private tree of this commit; not if the repository does not know it."""
    try:
        return trees.is_there(resolve(f"{repository}@{commit}").key)
    except SourceError:
        return False


def _home(repository: Path, commit: str, near: str, progress: Progress) -> tuple[Base | None, TreeChanges]:
    """The tree of `near`, and what makes it that of `commit`; no tree if that does not do."""
    if near == commit:
        return None, NOTHING
    differ = changes_to(repository, near, commit)
    if differ is None or len(differ.content) > MOST_FILES:
        return None, NOTHING
    home = trees.open_base(resolve(f"{repository}@{near}"), progress)
    return (home, differ) if _fits(home, differ.content) else (None, differ)


def _fits(home: Base, changes: Changes) -> bool:
    """Whether no file takes the place of a directory, nor a directory that of a file."""
    folders = {str(folder) for path in changes for folder in Path(path).parents}
    try:
        trees.check_changes(home, changes)
        return folders.isdisjoint(changes)
    except PatchError:
        return False


def _as_base(home: Base, differ: TreeChanges, source: Source) -> tuple[Base, ReadFile]:
    """The tree `home`, as it is with the changes that make it `source`."""

    def read(path: str) -> bytes | None:
        return differ.content[path] if path in differ.content else trees.read_base(home, path)

    version = makefile.check_tree(source.title, read)
    return trees.named(replace(home, key=source.key, version=version, has_fix=PANTHOR.has_fix(read)), source), read
