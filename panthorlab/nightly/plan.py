# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernels a night has, from nightly.yaml: each tree's branches, each in every config. Pure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.files import digest
from panthorlab.nightly.config import NightlyFile
from panthorlab.quantities import duration


@dataclass(frozen=True)
class KernelPlan:
    """A branch in one config. `fragments`, `boards`: as options name them, paths absolute. `asked`: a digest of all
    that decides what its runs mean (of files their names, until `with_contents`); if it changes, the same commit is
    worth another night."""

    tree: str
    branch: str
    config: str
    url: str
    fragments: tuple[str, ...]
    boards: tuple[str, ...]
    asked: str

    @property
    def name(self) -> str:
        """For people, and in the record."""
        return f"{self.tree}/{self.branch}/{self.config}"

    @property
    def folder(self) -> str:
        """A directory's name, of this kernel alone: git has no `~` in names."""
        return self.name.replace("/", "~")


@dataclass(frozen=True)
class NightlyPlan:
    """All of nightly.yaml with its paths absolute. `budget`: seconds of a night; None: as long as it takes. `notify`:
    the file that says who is told; None: nobody."""

    file: NightlyFile
    state: Path
    kernels: tuple[KernelPlan, ...]
    suites: tuple[str, ...]
    overlay: str | None
    known: tuple[Path, ...]
    budget: float | None
    notify: Path | None


_NOT_TESTED: Final = {"title", "state", "trees", "kernels", "budget", "bisect", "notify"}
"""Keys that change nothing of what a run means, or that are in its kernel's plan."""


def plan_of(file: NightlyFile, home: Path) -> NightlyPlan:
    """`home`: the directory of nightly.yaml, from which its paths are."""
    suites = tuple(_path(name, home, ".py") for name in file.suites)
    known = tuple(home / Path(name).expanduser() for name in file.known)
    kernels = []
    for tree in file.trees:
        for branch in tree.branches:
            for kernel in file.kernels:
                fragments = tuple(_path(name, home, ".config") for name in kernel.config)
                boards = tuple(_path(name, home, ".yaml", ".yml") for name in kernel.boards or file.boards)
                asked = {**file.model_dump(mode="json", exclude=_NOT_TESTED), "fragments": fragments, "boards": boards}
                text = json.dumps(asked, sort_keys=True)
                url = _url(tree.url, home)
                kernels.append(KernelPlan(tree.name, branch, kernel.name, url, fragments, boards, digest([text])))
    return NightlyPlan(
        file,
        home / Path(file.state).expanduser(),
        tuple(kernels),
        suites,
        _path(file.overlay, home) if file.overlay else None,
        known,
        duration(file.budget) if file.budget else None,
        home / Path(file.notify).expanduser() if file.notify else None,
    )


def in_turn(kernels: Sequence[KernelPlan], judged: Mapping[str, str]) -> list[KernelPlan]:
    """The order of a night: what was judged longest ago comes first, so that too short a budget starves nothing.
    `judged`: by name, the last night that judged it."""
    return sorted(kernels, key=lambda kernel: judged.get(kernel.name, ""))


def _path(name: str, home: Path, *endings: str) -> str:
    """What is a path, by its look, from `home`; symlinks stay."""
    if "/" not in name and not name.endswith(endings):
        return name
    return os.path.abspath(home / Path(name).expanduser())  # noqa: PTH100


def _url(url: str, home: Path) -> str:
    remote = "://" in url or (":" in url and not url.startswith(("/", ".")))
    return url if remote else os.path.abspath(home / Path(url).expanduser())  # noqa: PTH100
