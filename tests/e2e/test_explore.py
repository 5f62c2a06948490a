# SPDX-License-Identifier: GPL-2.0-or-later
"""Exploring: seeds are interleavings, an exploration goes on, and what it finds comes back by its command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from panthorlab.gpu.exact.order import FILE
from panthorlab.gpu.exact.serve import TURN
from panthorlab.gpu.kinds import is_known
from panthorlab.run.explore.finding import DEFAULT_NS

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
SEEDS = (9, 17, 25, 33, 41)
EXIT = ("--suite", "heap-exit-claim", "--workload", "heap-exit/exit")


def test_seeds_are_interleavings_and_an_exploration_goes_on(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    asked = ("explore", "--kernel", f"{run_dir}:after", *EXIT, "--strategy", "uniform", "--output", tmp_path / "run")
    first = cli(*asked, "--seeds", 4)
    assert first.exit == 0, first.stderr
    assert first.json["seeds"] == 4
    assert 2 <= first.json["interleavings"] <= 4
    orders = [json.loads(line) for file in (tmp_path / "run").rglob(FILE) for line in file.read_text().splitlines()]
    kinds = {kind for order in orders for kind, *_ in order["latencies"]}
    assert kinds, "no latencies are on record"
    assert all(map(is_known, kinds)), kinds
    log = (tmp_path / "run" / "events.jsonl").read_text()
    again = cli(*asked, "--seeds", 4)
    assert again.exit == 0, again.stderr
    assert again.json == first.json
    resumed = [json.loads(line)["event"] for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert resumed == [*(json.loads(line)["event"] for line in log.splitlines()), "resumed"]
    places = cli(*asked, "--seeds", 4, "--place", "panthor_vm_destroy", "--place", "panthor_device_reset_work")
    assert places.exit == 4, "a place that was never reached is no answer"
    assert [one["reached"] for one in places.json["places"]] == [True, False]
    assert places.json["seeds"] == 4, "nothing runs again for it"
    assert cli(*asked, "--seed", 9).exit == 2


def test_events_come_to_the_blocks_of_the_driver_that_are_aimed_at(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    asked = ("explore", "--kernel", f"{run_dir}:after", *EXIT, "--strategy", "aimed", "--output", tmp_path / "run")
    between = ("--between", "panthor_vm_destroy", "tick_work:end")
    done = cli(*asked, *between, "--seeds", 8)
    assert done.exit == 0, done.stderr
    aimed = done.json["workloads"]["heap-exit/exit"]["aimed"]
    assert aimed["hit"] + aimed["missed"] == done.json["seeds"] == 8
    assert aimed["hit"] > aimed["missed"], done.stderr
    assert aimed["blocks"] >= aimed["blocks_hit"] > 1
    assert aimed["aims"] >= aimed["pairs"] >= aimed["pairs_hit"] >= aimed["blocks_hit"]
    assert cli(*asked, *between, "--seeds", 8).json == done.json
    wrong = cli(
        "explore", "--kernel", f"{run_dir}:after", *EXIT, "--strategy", "aimed", "--between", "tick_wrk", "I job"
    )
    assert wrong.exit == 2
    assert "tick_work" in wrong.stderr


TURNS = """
import pytest
from panthorlab.run.workload import Workload

CASE = Workload("turns/exit", ("heap-exit", "--mode", "exit"), iterations=8)

@pytest.mark.latencies("turn")
def test_turns(iterate):
    iterate(CASE).expect_clean()
"""


def test_turns_of_two_cpus_alone_make_another_interleaving_that_repeats(
    run_dir: Path, cli: Cli, tmp_path: Path
) -> None:
    suite = tmp_path / "test_turns.py"
    suite.write_text(TURNS)

    def explore(name: str, seed: int) -> list[bytes]:
        """What the dry run and the exploring boot have written of their iterations."""
        asked = ("--kernel", f"{run_dir}:after", "--board", "qemu-g610-smp", "--suite", suite, "--strategy", "uniform")
        done = cli("explore", *asked, "--seed", seed, "--seeds", 2, "--jobs", 1, "--output", tmp_path / name)
        assert done.exit == 0, done.stderr
        assert done.json["seeds"] == 2
        return [(tmp_path / name / "boots" / boot / FILE).read_bytes() for boot in ("kernel1.1", "kernel2.1")]

    first = explore("first", 1)
    assert explore("again", 1) == first
    one = json.loads(first[1].splitlines()[0])
    for seed in SEEDS:  # one alone may have turns that end elsewhere and change no order
        other = json.loads(explore(f"other-{seed}", seed)[1].splitlines()[0])
        assert one["begin"] == other["begin"]  # it is the same machine up to there
        if one["digest"] != other["digest"]:
            break
    else:
        pytest.fail(f"turns of the seeds {SEEDS} make the order of seed 1")
    turns = [[ns for kind, _, ns, _ in run["latencies"] if kind == TURN] for run in (one, other)]
    assert turns[0][:3] != turns[1][:3]
    assert {ns for run in (one, other) for kind, _, ns, _ in run["latencies"] if kind != TURN} == {DEFAULT_NS}


def test_a_finding_comes_back_by_its_command(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("explore", "--kernel", f"{run_dir}:before", *EXIT, "--seeds", 1, "--output", tmp_path / "run")
    assert done.exit == 1, done.stderr
    (found,) = done.json["findings"]
    assert found["reproduces"], done.stderr
    words = shlex.split(found["command"])
    assert words[:2] == ["panthorlab", "run"]
    repeated = cli(*words[1:], "--output", tmp_path / "again")
    assert repeated.exit == 1, repeated.stderr
    assert set(found["signatures"]) & {one["signature"] for one in repeated.json["findings"]}
