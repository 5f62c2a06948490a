# SPDX-License-Identifier: GPL-2.0-or-later
"""A small git repository, and nights over it whose kernels are not built: what each of them would say is given."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from panthorlab.nightly import culprit
from panthorlab.nightly.command import main
from panthorlab.nightly.model import Culprit, KernelNight, NewTrouble, NightOutcome, TreeCommit
from panthorlab.nightly.work import RUN, Earlier, KernelWork
from panthorlab.options import parse
from tests.made_runs import ALONE, SIGNATURE, write_run

WHO = {
    f"GIT_{role}_{what}": text
    for role in ("AUTHOR", "COMMITTER")
    for what, text in (("NAME", "Test"), ("EMAIL", "test@example.org"), ("DATE", "1700000000 +0000"))
}
NEW = NewTrouble("signature", SIGNATURE, "heap-exit/exit", (0, 600), (20, 600), reason="new")


@dataclass(frozen=True)
class Repository:
    """Of somebody else."""

    path: Path

    def git(self, *argv: str) -> str:
        env = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(["git", "-C", str(self.path), *argv], capture_output=True, check=True, env=env)
        return done.stdout.decode().strip()

    def commit(self, subject: str, branch: str = "master") -> str:
        """One more on the branch."""
        self.git("checkout", "-q", "-B", branch)
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "linux"
    path.mkdir()
    made = Repository(path)
    made.git("init", "-q", ".")
    made.commit("The first")
    return made


class KilledError(Exception):
    """As kill -9: nothing after it is done."""


@dataclass
class Lab:
    """What nights find. `says`: by subject of the commit; `judged`, `searched`: what was done; `earlier`: what it was
    held against. `dies_at`: the work in which it is killed. `takes`: is called while something is done."""

    file: Path
    says: dict[str, tuple[NightOutcome, tuple[NewTrouble, ...]]] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)
    earlier: list[Earlier] = field(default_factory=list)
    searched: list[tuple[str, str, str]] = field(default_factory=list)
    found: Callable[[str], Culprit] = lambda signature: Culprit(signature, (), False, "nothing")
    dies_at: str = ""
    takes: Callable[[], None] = lambda: None

    def run(self, *options: str) -> int:
        return main(parse(["nightly", str(self.file), "--quiet", *options]))

    def judge(self, work: KernelWork, earlier: Earlier, seconds: float | None) -> KernelNight:
        self.takes()
        if self.dies_at == work.commit.subject:
            raise KilledError
        self.earlier.append(earlier)
        self.judged.append(f"{work.kernel.branch}: {work.commit.subject}")
        write_run(work.folder / RUN, ALONE)
        outcome, new = self.says.get(work.commit.subject, (NightOutcome.GOOD, ()))
        own = work._own(earlier)
        return replace(own, outcome=outcome, new=new, attempted=10, judged=9, lost=1)

    def search(self, *args: object, signature: str, ends: tuple[str, str], directory: Path, **_: object) -> Culprit:
        self.takes()
        if self.dies_at == signature:
            raise KilledError
        self.searched.append((signature, *ends))
        return replace(self.found(signature), directory=str(directory))


@pytest.fixture
def lab(tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Lab:
    file = tmp_path / "nightly.yaml"
    file.write_text(
        f"trees:\n  - name: linux\n    url: {repository.path}\n    branches: [master]\nsuites: [heap-exit-claim]\n"
    )
    made = Lab(file)
    monkeypatch.setattr(KernelWork, "judge", lambda work, earlier, seconds: made.judge(work, earlier, seconds))
    monkeypatch.setattr(culprit, "search", made.search)
    return made


@contextmanager
def clock(monkeypatch: pytest.MonkeyPatch, offset: float) -> Iterator[None]:
    """So many seconds later."""
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + offset)
        yield


def named(commit: str, **more: object) -> Callable[[str], Culprit]:
    """A bisect that finds this commit."""
    return lambda signature: replace(Culprit(signature, (TreeCommit(commit, "Break it"),), True, "found"), **more)  # type: ignore[arg-type]
