# SPDX-License-Identifier: GPL-2.0-or-later
"""Two GPUs in one guest: the suite is silent on a driver that keeps them apart, and sees each way of not doing so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .conftest import HOUR, Cli, Done

pytestmark = pytest.mark.e2e

Build = Callable[[Sequence[str]], str]
SUITE = ("--suite", "two-gpus", "--boots", "1")
PLANTS = {
    "sleep": "test_each_has_its_own",
    "name": "test_no_name_is_given_twice",
    "workqueue": "test_one_goes_while_the_other_works",
    "reset": "test_reset_of_one",
    "reset-all": "test_reset_of_one",
    "buffers": "test_buffers_of_one_are_used_by_the_other",
    "fences": "test_jobs_of_one_wait_for_the_other",
    "fence-gone": "test_one_goes_that_waits_and_is_waited_for",
    "fence-failed": "test_a_job_that_is_waited_for_fails",
}
"""A fault, and who must see it. With one GPU all of them are right, but for `fence-gone` and `fence-failed`, of which
no suite asks there."""


ROOT = Path(__file__).parents[2]
UNDER_WAY = ROOT / "benchmarks/suites/test_unplug_under_way.py"


def failed(done: Done) -> set[str]:
    return {test["test"].partition(" ")[0] for test in done.json["tests"] if test["outcome"] == "FAIL"}


def test_a_driver_that_keeps_them_apart(cli: Cli, build: Build, tmp_path: Path) -> None:
    done = cli("run", "--kernel", build([]), *SUITE, "--output", tmp_path / "run")
    assert done.exit == 0, done.stderr
    assert {test["test"].partition(" ")[0] for test in done.json["tests"]} >= set(PLANTS.values())
    assert not failed(done)


def test_one_seed_is_one_run_with_two_gpus(build: Build, tmp_path: Path) -> None:
    kernel = build([])

    def run(number: int) -> Any:
        output = tmp_path / str(number)
        argv = ["run", "--kernel", kernel, "--board", "qemu-g610-dual", "--seed", "7", "--json"]
        command = ["--output", str(output), "--", "gpu-pair", "--mode", "both"]
        done = subprocess.run(
            [sys.executable, "-m", "panthorlab", *argv, *command], capture_output=True, timeout=HOUR, check=True
        )
        return json.loads(done.stdout)["digest"]

    first = run(1)
    assert first
    assert run(2) == first


@pytest.mark.parametrize(
    "plant", [name if name == "workqueue" else pytest.param(name, marks=pytest.mark.full) for name in PLANTS]
)
def test_what_should_be_each_ones_own(plant: str, build: Build, cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--kernel", build([f"two-gpus/{plant}"]), *SUITE, "--output", tmp_path / "run")
    assert done.exit == 1, done.stderr
    assert PLANTS[plant] in failed(done), done.json["tests"]


@pytest.mark.full
@pytest.mark.parametrize("fix", [(), ("docs/findings/0037-terminate-groups-at-unplug",)], ids=["without", "with"])
def test_what_is_under_way_on_a_gpu_that_goes(fix: Sequence[str], build: Build, cli: Cli, tmp_path: Path) -> None:
    """Nothing of it is left with the fix of docs/findings/0037, and without it what the page says."""
    kernel = build([str(ROOT / name) for name in fix])
    done = cli("run", "--kernel", kernel, "--suite", UNDER_WAY, "--boots", "1", "--output", tmp_path / "run")
    assert done.json is not None, done.stderr
    tests = {test["test"] for test in done.json["tests"]}
    assert failed(done) == (set() if fix else tests)
    assert done.exit == (0 if fix else 1)
