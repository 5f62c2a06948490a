# SPDX-License-Identifier: GPL-2.0-or-later
"""The tool tells the truth: wrong GPUs, other fixes, missing evidence. Each of these must be able to fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .conftest import Cli, Done, workload

pytestmark = pytest.mark.e2e

EXIT = ("--suite", "heap-exit-claim")
Build = Callable[[Sequence[str]], str]
Compare = Callable[..., Done]


@pytest.fixture
def compare(cli: Cli, run_dir: Path, tmp_path: Path) -> Compare:
    """Validate two built kernels; `before` and `after` default to those of the default job."""

    def run(*arguments: str, before: str = "", after: str = "") -> Done:
        return cli(
            "validate", "--before", before or f"{run_dir}:before", "--after", after or f"{run_dir}:after",
            *arguments, "--output", tmp_path / "run",
        )  # fmt: skip

    return run


# -- GPUs that are wrong on purpose --------------------------------------------------------------------------------


@pytest.mark.wide
def test_gpu_that_never_writes_shows_no_bug(compare: Compare) -> None:
    done = compare(*EXIT, "--iterations", "60", "--param", "gpu.writeout.on=none")
    assert (done.exit, done.json["verdict"]) == (3, "inconclusive")
    assert done.json["sides"]["before"]["faulty"] == 0


@pytest.mark.wide
def test_gpu_that_writes_only_on_suspend_shows_no_bug(compare: Compare) -> None:
    done = compare(*EXIT, "--iterations", "60", "--param", "gpu.writeout.on=suspend")
    assert done.json["verdict"] == "inconclusive"
    assert done.json["sides"]["before"]["faulty"] == 0


@pytest.mark.wide
def test_gpu_that_acknowledges_first_blames_the_fixed_kernel(compare: Compare) -> None:
    done = compare(*EXIT, "--iterations", "120", "--param", "gpu.ack.first=1", "--param", "gpu.writeout.delay_ms=3")
    assert done.json["sides"]["after"]["faulty"] > 0, "false faults are what a wrong order gives"
    assert done.json["verdict"] not in ("fixed", "clean")


# -- fixes of another shape: nothing in the GPU or in the tool knows the patch ---------------------------------------


@pytest.mark.wide
def test_renamed_fix_is_fixed(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, after=build(["renamed"]))
    assert (done.exit, done.json["verdict"]) == (0, "fixed")


@pytest.mark.wide
def test_three_flushes_leave_no_residual(compare: Compare, build: Build) -> None:
    done = compare("--suite", "heap-exit-claim", "--suite", "heap-exit-watch", after=build(["three-flushes"]))
    assert done.json["verdict"] == "fixed", done.json["reasons"]
    clients = workload(done.json, "heap-exit/clients")
    assert clients["sides"]["after"]["iterations"] >= 300
    assert clients["sides"]["after"]["faulty"] == 0


@pytest.mark.full
def test_our_fix_of_the_residual_is_fixed(compare: Compare, build: Build) -> None:
    root = Path(__file__).parents[2]
    patches = [str(root / "docs/findings" / name) for name in ("0020-1-wait-for-eviction", "0020-2-evict-live-groups")]
    suite = root / "benchmarks/suites/test_residual.py"
    done = compare("--suite", str(suite), before=build([]), after=build(patches))
    assert (done.exit, done.json["verdict"]) == (0, "fixed"), done.json["reasons"]


@pytest.mark.full  # what drain_workqueue() drops costs most iterations a job time-out of ten seconds
def test_drained_workqueue_trades_the_fault_for_timeouts(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, "--iterations", "4", after=build(["drain"]))
    kinds = {finding["kind"] for finding in done.json["findings"] if finding["side"] == "after"}
    assert "mmu-fault" not in kinds
    assert "job-timeout" in kinds
    assert (done.exit, done.json["verdict"]) == (1, "regressed")


@pytest.mark.wide
def test_nothing_unmapped_gives_no_fault(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, after=build(["no-heap-destroy"]))
    assert done.json["sides"]["after"]["faulty"] == 0


def test_unrelated_patch_on_unfixed_kernel_is_not_fixed(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, "--iterations", "60", after=build(["without-fix", "unrelated"]))
    assert (done.exit, done.json["verdict"]) == (1, "not-fixed")


@pytest.mark.wide
def test_oops_instead_of_fault_is_regressed(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, "--iterations", "8", after=build(["oops"]))
    assert (done.exit, done.json["verdict"]) == (1, "regressed")
    assert any(finding["kind"] in ("oops", "panic") for finding in done.json["findings"])


RARE = """
from panthorlab.outcome import Role
from panthorlab.run.workload import Workload

def test_odd(session, iterate):
    '''Two of forty iterations of *after* run a stream with an invalid instruction.'''
    def work(mode, iterations):
        return Workload("odd/store", ("gpu-job", "--mode", mode), Role.WATCH, iterations=iterations)

    if session.job_description.arm == "after":
        iterate(work("store", 38))
        iterate(work("bad-instr", 2))
    else:
        iterate(work("store", 40))
"""


@pytest.mark.full
def test_a_rare_finding_gives_before_more_iterations_and_is_then_told(
    compare: Compare, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_odd.py").write_text(RARE)
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    done = compare("--suite", "odd")
    odd = workload(done.json, "odd/store")
    assert odd["sides"]["before"]["iterations"] == 59  # (1 - 2/40)^59 < 5 %
    assert len(odd["sides"]["before"]["per_boot"]) == 3
    assert odd["sides"]["after"]["iterations"] == 40
    assert odd["verdict"] == "clean"
    new = next(item for item in done.json["new"] if item["name"] == "cs-fatal")
    assert (new["before"], new["after"], new["regressed"], new["obstacle"]) == ([0, 59], [2, 40], False, False)
    assert new["p"] > 0.1
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert events.count('"event":"extension"') == 1
    assert cli("resume", tmp_path / "run").json["new"] == done.json["new"]
    assert (tmp_path / "run" / "events.jsonl").read_text() == events, "there is nothing more to be run"
    (tmp_path / "flakes.txt").write_text("# Bug Report: none\nodd/store@cs-fatal:.*\n")
    known = cli(
        "validate", "--before", events_kernel(events, "before"), "--after", events_kernel(events, "after"), "--suite",
        "odd", "--known", tmp_path / "flakes.txt", "--output", tmp_path / "known",
    )  # fmt: skip
    assert workload(known.json, "odd/store")["sides"]["before"]["iterations"] == 40
    assert any("known" in reason and "flakes.txt:2" in reason for reason in known.json["reasons"])


def events_kernel(events: str, side: str) -> str:
    """The store key of a side, from an event log."""
    kernels = (json.loads(line) for line in events.splitlines() if '"event":"kernel"' in line)
    return str(next(event["key"] for event in kernels if event["arm"] == side))


# -- evidence with holes ---------------------------------------------------------------------------------------------


@pytest.mark.wide
def test_unmodelled_register_spoils_its_iterations(compare: Compare, build: Build) -> None:
    done = compare(*EXIT, "--iterations", "30", after=build(["unmodelled"]))
    assert (done.exit, done.json["verdict"]) == (4, "error")


@pytest.mark.wide
def test_rate_limited_markers_are_an_error(compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boards = tmp_path / "board_configs"
    boards.mkdir()
    (boards / "mute.yaml").write_text("type: emulated\nboot: {command_line: printk.devkmsg=off}\n")
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    done = compare(*EXIT, "--iterations", "20", "--board", "mute")
    assert (done.exit, done.json["verdict"]) == (4, "error")
