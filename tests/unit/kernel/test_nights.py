# SPDX-License-Identifier: GPL-2.0-or-later
"""Where nights build: one after the other in one tree, and what of that is left after a night that was killed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panthorlab.kernel import store
from panthorlab.kernel.build.attempts import build
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.progress import quiet
from panthorlab.nightly import culprit
from panthorlab.nightly.command import main
from panthorlab.nightly.model import Culprit, NewTrouble, NightOutcome
from panthorlab.nightly.record import KernelPlaced, read_nights
from panthorlab.nightly.work import KernelWork
from panthorlab.options import parse
from panthorlab.run.record.log import read_run
from tests.made_runs import ALONE, write_run

from .conftest import DRIVER

MMU = f"{DRIVER}/panthor_mmu.c"


class KilledError(BaseException):
    """As kill -9: nothing after it is done."""


@dataclass
class Nights:
    """Real builds, whose kernels run as the record of a run says. `commit` makes one more on the branch."""

    file: Path
    tree: SimpleNamespace
    fragment: Path
    near: list[str] = field(default_factory=list)

    def run(self) -> int:
        return main(parse(["nightly", str(self.file), "--quiet"]))

    def commit(self, old: str, new: str) -> str:
        path = self.tree.path / MMU
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        self.tree.git("commit", "-q", "-a", "-m", new)
        return str(self.tree.git("rev-parse", "HEAD").strip())

    def placed(self) -> list[tuple[str, str]]:
        events = read_nights(self.file.parent / "nightly.state")
        return [(event.commit, event.tree) for event in events if isinstance(event, KernelPlaced)]

    def built(self) -> list[list[str]]:
        """Of each night, oldest first, what was compiled of the driver."""
        logs = sorted((self.file.parent / "nightly.state/nights").glob("*/*/build.log"))
        return [
            [line.split()[1] for line in log.read_text().splitlines() if f"  CC      {DRIVER}" in line] for log in logs
        ]


@pytest.fixture
def nights(
    git_tree: SimpleNamespace, cache: Path, guest: Path, fragment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Nights:
    file = tmp_path / "nightly.yaml"
    file.write_text(
        f"trees:\n  - name: tiny\n    url: {git_tree.path}\n    branches: [main]\nsuites: [heap-exit-claim]\n"
    )
    made = Nights(file, git_tree, fragment)

    def ran(work: KernelWork, _: object) -> Any:
        return read_run(write_run(work.run_dir, ALONE))

    def search(*_: object, near: str, signature: str, **__: object) -> Culprit:
        made.near.append(near)
        return Culprit(signature, (), False, "nothing")

    monkeypatch.setattr(KernelWork, "_ran", ran)
    monkeypatch.setattr(culprit, "search", search)
    monkeypatch.setattr("panthorlab.nightly.work.fleet.fragments_of", lambda *_: [str(fragment)])
    return made


def key_of(nights: Nights, commit: str) -> str:
    """Of the commit built whole, in a tree of its own."""
    return prepare_kernel(f"{nights.tree.path}@{commit}", fragments=[str(nights.fragment)]).key


def test_a_night_builds_what_has_changed_since_the_last_one(nights: Nights) -> None:
    first = nights.tree.git("rev-parse", "HEAD").strip()
    assert nights.run() == 1
    second = nights.commit("x + 1", "x + 2")
    nights.run()
    third = nights.commit("x + 2", "x + 3")
    nights.run()
    assert nights.placed() == [(first, first), (second, first), (third, first)]
    one, *more = nights.built()
    assert sorted(one) == [MMU.replace(".c", ".o"), f"{DRIVER}/panthor_sched.o"]
    assert more == [[MMU.replace(".c", ".o")]] * 2
    assert all(store.has(key_of(nights, commit)) for commit in (first, second, third))


def test_a_night_that_was_killed_in_its_build_trusts_nothing_of_it(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.run()
    first = prepare_kernel(f"{nights.tree.path}@HEAD", fragments=[str(nights.fragment)])
    old = (objects_of(first) / MMU).with_suffix(".o").read_bytes()
    second = nights.commit("x + 1", "x + 2")

    def dies(plan: SidePlan, **more: Any) -> None:
        def progress(step: str, done: int | None = None, _: int | None = None, /) -> None:
            if step.startswith("building 6") and done:
                (objects_of(plan) / MMU).with_suffix(".o").write_bytes(old)
                raise KilledError

        build_side(plan, **{**more, "progress": progress})

    with monkeypatch.context() as patch:
        patch.setattr("panthorlab.nightly.work.build_side", dies)
        with pytest.raises(KilledError):
            nights.run()
    assert not store.has(key_of(nights, second))
    assert nights.run() == 1, "it goes on"
    assert len(nights.built()) == 2, "and is the same night"
    alone = build_side(
        prepare_kernel(f"{nights.tree.path}@{second}", fragments=[str(nights.fragment)]),
        log=nights.file.with_name("log"),
    )
    shutil.rmtree(alone.path)
    whole = build(
        prepare_kernel(f"{nights.tree.path}@{second}", fragments=[str(nights.fragment)]),
        log=nights.file.with_name("log"),
        progress=quiet,
    )
    assert (alone.key, alone.digests) == (whole.key, whole.digests)


def test_what_does_not_build_is_at_fault_and_what_mends_it_is_an_increment(nights: Nights) -> None:
    nights.run()
    broken = nights.commit("x + 1", "x + ")
    assert nights.run() == 1
    night = json.loads(max(nights.file.parent.glob("nightly.state/nights/*/night.json")).read_text())
    assert night["outcome"] == "regressed"
    assert "does not build" in night["kernels"][0]["reasons"][0]
    mended = nights.commit("x + ", "x + 5")
    nights.run()
    (_, tree), *more = nights.placed()
    assert more == [(broken, tree), (mended, tree)]
    assert store.has(key_of(nights, mended))


def test_without_the_tree_of_the_last_night_it_is_a_tree_of_its_own(nights: Nights, cache: Path) -> None:
    nights.run()
    shutil.rmtree(cache / "trees")
    second = nights.commit("x + 1", "x + 2")
    nights.run()
    assert nights.placed()[-1] == (second, second)


def test_its_bisect_builds_in_the_same_tree(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nights.tree.git("rev-parse", "HEAD").strip()
    nights.run()
    nights.commit("x + 1", "x + 2")
    new = NewTrouble("signature", "mmu-fault:panthor", "heap-exit/exit", (0, 10), (5, 10), reason="new")
    monkeypatch.setattr(
        KernelWork, "_judged", lambda _, own, *__: replace(own, outcome=NightOutcome.REGRESSED, new=(new,))
    )
    assert nights.run() == 1
    assert nights.near == [first]
