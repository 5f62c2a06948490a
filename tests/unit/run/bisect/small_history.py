# SPDX-License-Identifier: GPL-2.0-or-later
"""A small git history, and hands that boot it by chance: the same interface as real kernels and boards."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.errors import BuildError, PatchError
from panthorlab.kernel.source.commits import History, Kinship, fingerprints, kinship, read_history
from panthorlab.run.bisect.search import REVERTED, Bisect, Made
from panthorlab.run.record import BisectBoot, BisectEnd, BisectStart, RunStart, Settings
from panthorlab.run.record.log import EventLog
from panthorlab.run.record.versions import VERSION

FAULT = "mmu-fault:panthor:WRITE:heap"
OTHER = "oops:other"


@dataclass
class Repo:
    """Commits by a letter or name; `write` makes one."""

    path: Path
    ids: dict[str, str] = field(default_factory=dict)

    def git(self, *argv: str) -> str:
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {f"GIT_{role}_DATE": f"{1700000000 + len(self.ids)} +0000" for role in ("AUTHOR", "COMMITTER")}
        env = {**os.environ, **who, **dates, "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(["git", "-C", str(self.path), *argv], capture_output=True, check=True, env=env)
        return done.stdout.decode().strip()

    @classmethod
    def new(cls, path: Path) -> Repo:
        path.mkdir()
        repo = cls(path)
        repo.git("init", "-q", "-b", "master")
        return repo

    def write(self, name: str, **files: str) -> str:
        """A commit of these files; `__` in a name is a slash, the last `_` a dot."""
        for key, text in files.items():
            place = self.path / ".".join(key.replace("__", "/").rsplit("_", 1))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", name)
        self.ids[name] = self.git("rev-parse", "HEAD")
        return self.ids[name]

    def merge(self, name: str, *options: str) -> str:
        self.git("merge", "-q", "--no-ff", "-m", name, *options)
        self.ids[name] = self.git("rev-parse", "HEAD")
        return self.ids[name]


@dataclass
class FakeHands:
    """`is_bad`: of a target. `p`, `q`: how often its boots show the fault. `exact`: a boot's number alone says whether
    a bad target shows it, and another number does so of `elsewhere`, where boots take another course. `other`,
    `broken`: targets with another fault, and that do not build. `lab`: how many boots the lab fails, of each target.
    `die_after`: boots, after which the process is gone."""

    history: History
    is_bad: Callable[[str], bool]
    p: float = 1.0
    q: float = 0.0
    seed: int = 1
    exact: bool = False
    elsewhere: frozenset[str] = frozenset()
    other: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    lab: dict[str, int] = field(default_factory=dict)
    die_after: int | None = None
    revertible: bool = True
    reads: Callable[[str], bool] = lambda path: not path.startswith("Documentation/")
    builds: list[str] = field(default_factory=list)
    boots: list[tuple[str, int]] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    culprit: str = ""
    kin: Kinship | None = None

    def revert(self, culprit: str) -> None:
        if not self.revertible:
            raise PatchError("hunk 1 does not apply")
        self.culprit = culprit

    def build(self, target: str) -> Made:
        if target in self.broken:
            raise BuildError("error: nothing compiles")
        if target not in self.builds:
            self.builds.append(target)
        return Made(target, 20.0)

    def expect(self, targets: Sequence[str]) -> None:
        self.expected += targets

    def boot(self, target: str, numbers: Sequence[int]) -> Iterator[BisectBoot]:
        for number in numbers:
            if self.die_after is not None and len(self.boots) >= self.die_after:
                raise _KilledError
            self.boots.append((target, number))
            if self.lab.get(target, 0) > 0:
                self.lab[target] -= 1
                yield BisectBoot(commit=target, number=number, symptoms=(), blamed=(), error="the board is gone")
                continue
            bad = self.is_bad(self.culprit if target == REVERTED else target) and target != REVERTED
            of = target if not self.exact else "elsewhere" if target in self.elsewhere else ""
            shown = random.Random(f"{self.seed}{of}{number}").random() < (self.p if bad else self.q)  # noqa: S311
            found = ((OTHER,) if target in self.other else ()) + ((FAULT,) if shown else ())
            yield BisectBoot(commit=target, number=number, symptoms=found, blamed=found, seconds=20.0)

    def kinship(self) -> Kinship:
        if self.kin is None:
            self.kin = kinship(self.history, fingerprints(self.history, self.reads))
        return self.kin


class _KilledError(Exception):
    """As good as kill -9: nothing after it is written."""


Killed = _KilledError


def bisect(run_dir: Path, hands: FakeHands, *, signature: str = "", limit: int = 24) -> BisectEnd:
    """Begin, or go on with what is in `run_dir`."""
    run_dir.mkdir(exist_ok=True)
    history = hands.history
    with EventLog(run_dir) as log:
        if not log.path.stat().st_size:
            log.append(RunStart(options=Settings(), suites=(), version=VERSION))
            log.append(
                BisectStart(
                    repository=str(history.repository),
                    good=history.good,
                    bad=history.bad,
                    signature=signature,
                    limit=limit,
                )
            )
        return Bisect(log, history, hands, {}, lambda _: None).run()


def history_of(repo: Repo, good: str, bad: str) -> History:
    return read_history(repo.path, [good], bad)
