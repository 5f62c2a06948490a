# SPDX-License-Identifier: GPL-2.0-or-later
"""`bisect-step` as `git bisect run` calls it: the same command for every commit. Kernels are not built or booted."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab import cli
from panthorlab.errors import BuildError, LabError, PanthorlabError
from panthorlab.run.bisect import step
from panthorlab.run.record.log import new_run_dir
from tests.made_runs import ALONE, MadeRun, write_run
from tests.unit.run.bisect.small_history import Repo

GOOD = replace(ALONE, rates={"heap-exit/exit": {"kernel": (0, 10)}})
Step = Callable[..., int]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo.new(tmp_path / "linux")
    made.write("good", a_c="int a;\n")
    return made


@pytest.fixture
def call(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    """A step on a commit that comes to this; its exit status."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def made(found: MadeRun | PanthorlabError, *options: str) -> int:
        def run_suites(own: argparse.Namespace, _: object) -> Path:
            if isinstance(found, PanthorlabError):
                raise found
            run = write_run(new_run_dir(own.output) / "run", replace(found, boots=own.boots))
            (run / "events.jsonl").rename(own.output / "events.jsonl")
            return Path(own.output)

        monkeypatch.setattr(step, "_build", lambda *_: SimpleNamespace(key="k"))
        monkeypatch.setattr(step, "run_suites", run_suites)
        argv = ["bisect-step", "--tree", str(repo.path), "--output", str(tmp_path / "steps"), "--quiet", *options]
        return cli.main(argv)

    return made


def test_each_commit_has_a_run_of_its_own(call: Step, tmp_path: Path) -> None:
    assert [call(GOOD), call(ALONE), call(GOOD)] == [0, 1, 0]
    assert len(list((tmp_path / "steps").glob("*/boots/events.jsonl"))) == 3


def test_one_boot_decides_unless_more_are_asked_for(call: Step, tmp_path: Path) -> None:
    for number, options in ((1, ()), (3, ("--boots", "3"))):
        assert call(GOOD, *options) == 0
        newest = max((tmp_path / "steps").glob("*/boots/events.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        assert newest.read_text().count('"boot-start"') == number


@pytest.mark.parametrize("error", [LabError("no board"), BuildError("error: x")])
def test_what_cannot_be_judged_is_125(call: Step, error: PanthorlabError) -> None:
    assert call(error) == 125
    assert call(GOOD, "--signature", "(") == 125
    assert call(replace(ALONE, signature="oops:other"), "--signature", "mmu-fault") == 125, "another fault"
    assert call(ALONE, "--signature", "mmu-fault") == 1
