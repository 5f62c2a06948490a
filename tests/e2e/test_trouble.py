# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hostile user and a failing machine do to a run: nothing is lost, nothing is left behind, nothing is a pass."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from panthorlab.outcome import Outcome
from panthorlab.run.record import ArmKernel, BootEnd, BootStart, Iteration, Tested
from panthorlab.run.record.base import kinds
from panthorlab.run.record.log import read_events

from .conftest import PATCHES, Cli
from .running import STOP_SECONDS, Running

pytestmark = pytest.mark.e2e

CLAIM = ("--suite", "heap-exit-claim")
ONE_BOOT = (*CLAIM, "--boots", "1", "--iterations", "20")


Start = Callable[..., Running]


@pytest.fixture
def start(run_dir: Path, tmp_path: Path) -> Iterator[Start]:
    """Start `validate` of the default job's kernels in the background; other `arguments` replace all of that."""
    started: list[Running] = []

    def begin(
        *options: str | Path, run: Path | None = None, arguments: Sequence[str | Path] = (), **env: str
    ) -> Running:
        run = run or tmp_path / "run"
        kernels = ("--before", f"{run_dir}:before", "--after", f"{run_dir}:after")
        running = Running(run, arguments or ("validate", *kernels, *options, "--output", run), env)
        started.append(running)
        return running

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(60)


def resumed(cli: Cli, run: Path) -> Any:
    """Resume `run`, and check what must hold for the record of every resumed run."""
    done = cli("resume", run)
    assert done.json["exit"] == done.exit, done.stderr
    iterations = [event for event in read_events(run) if isinstance(event, Iteration)]
    twice = [identity for identity, count in Counter(event.id for event in iterations).items() if count > 1]
    assert not twice
    counted = sum(event.outcome is not Outcome.ERROR for event in iterations)
    sides = done.json["sides"]
    assert counted == sides["before"]["iterations"] + sides["after"]["iterations"]
    return done.json


def figures(result: Any) -> tuple[str, int, int]:
    sides = result["sides"]
    return result["verdict"], sides["before"]["iterations"], sides["after"]["iterations"]


UNDISTURBED = ("inconclusive", 5 * 7, 5 * 20)  # of --iterations 20


def some(running: Running, event: str, count: int = 1) -> Callable[[], bool]:
    return lambda: len(running.events(kinds()[event])) >= count


# -- the controller is killed or interrupted -------------------------------------------------------------------------

PHASES = [
    pytest.param("run-start", 1, marks=pytest.mark.full, id="start"),
    pytest.param("boot-start", 1, marks=pytest.mark.full, id="boot"),
    pytest.param("iteration", 20, id="iterations"),
    pytest.param("boot-end", 1, marks=pytest.mark.full, id="one-boot-done"),
    pytest.param("run-end", 1, marks=pytest.mark.full, id="reports"),
]


@pytest.mark.parametrize(("event", "count"), PHASES)
def test_killed_run_is_resumed_to_the_same_verdict(
    start: Start, cli: Cli, tmp_path: Path, event: str, count: int
) -> None:
    running = start(*ONE_BOOT)
    running.until(some(running, event, count))
    known = {one.id for one in running.events(Iteration)}
    running.signal(signal.SIGKILL)
    running.wait()
    running.assert_nothing_left()
    assert figures(resumed(cli, running.run)) == UNDISTURBED
    assert known <= {one.id for one in running.events(Iteration)}


@pytest.mark.wide
@pytest.mark.parametrize(
    ("event", "count", "signum"),
    [
        pytest.param("run-start", 1, signal.SIGINT, marks=pytest.mark.full),
        pytest.param("boot-start", 1, signal.SIGINT),
        pytest.param("iteration", 20, signal.SIGINT, marks=pytest.mark.full),
        pytest.param("iteration", 20, signal.SIGTERM),
        pytest.param("boot-end", 2, signal.SIGINT, marks=pytest.mark.full),
    ],
)
def test_interrupted_run_stops_at_once_and_says_how_to_go_on(
    start: Start, event: str, count: int, signum: signal.Signals
) -> None:
    running = start(*CLAIM, "--iterations", "20")
    running.until(some(running, event, count))
    running.signal(signum)
    assert running.wait(STOP_SECONDS) == 130
    assert not running.processes(), "all of it has ended when the controller has"
    assert f"panthorlab resume {running.run}" in running.stderr
    assert (running.json["verdict"], running.json["exit"]) == ("error", 130)


@pytest.mark.full
def test_run_interrupted_three_times_is_not_given_up(start: Start, cli: Cli) -> None:
    running = start(*CLAIM, "--iterations", "20")
    for boots in (2, 4, 6):
        running.until(some(running, "boot-start", boots))
        running.signal(signal.SIGINT)
        assert running.wait(STOP_SECONDS) == 130
        if boots < 6:
            running = start(run=running.run, arguments=["resume", running.run])
    assert figures(resumed(cli, running.run)) == UNDISTURBED


@pytest.mark.full
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_run_stopped_in_a_build_leaves_no_make(start: Start, cli: Cli, tmp_path: Path, signum: signal.Signals) -> None:
    patch = tmp_path / "own.patch"
    text = (PATCHES / "unrelated.patch").read_text()
    patch.write_text(text.replace("6000", str(6001 + time.time_ns() % 100_000)))  # in nobody's store
    run = tmp_path / "run"
    running = start(run=run, arguments=["validate", patch, *CLAIM, "--iterations", "20", "--output", run])
    running.until(lambda: running.processes("bwrap"), timeout=900)
    running.signal(signum)
    assert running.wait(STOP_SECONDS) == (130 if signum == signal.SIGINT else -signum)
    running.assert_nothing_left()
    assert figures(resumed(cli, run)) == UNDISTURBED


@pytest.mark.wide
def test_only_one_resume_at_a_time(start: Start, cli: Cli) -> None:
    running = start(*CLAIM, "--iterations", "20")
    running.until(some(running, "boot-start"))
    second = cli("resume", running.run)
    assert second.exit == 2
    assert "another panthorlab" in second.json["error"]
    assert second.json["hint"]
    running.signal(signal.SIGINT)
    running.wait(STOP_SECONDS)


def test_resuming_a_finished_run_only_reports_it_again(cli: Cli, run_dir: Path, default_run: Any) -> None:
    before = (run_dir / "events.jsonl").read_bytes()
    (run_dir / "report.html").unlink()
    done = cli("resume", run_dir)
    assert (done.exit, done.json["verdict"]) == (default_run.exit, default_run.json["verdict"])
    assert (run_dir / "events.jsonl").read_bytes() == before
    assert (run_dir / "report.html").exists()


@pytest.mark.full
def test_kernel_missing_from_the_store_is_built_again(start: Start, cli: Cli, tmp_path: Path) -> None:
    patch = tmp_path / "own.patch"
    text = (PATCHES / "unrelated.patch").read_text()
    patch.write_text(text.replace("6000", str(6001 + time.time_ns() % 100_000)))
    run = tmp_path / "run"
    running = start(run=run, arguments=["validate", patch, *CLAIM, "--iterations", "20", "--output", run])
    running.until(some(running, "iteration", 10), timeout=900)
    running.signal(signal.SIGKILL)
    running.wait()
    shutil.rmtree(running.events(ArmKernel)[1].path)
    assert figures(resumed(cli, run)) == UNDISTURBED


@pytest.mark.full
def test_two_runs_at_once(start: Start, tmp_path: Path) -> None:
    runs = [start(*CLAIM, "--iterations", "20", run=tmp_path / name) for name in ("one", "two")]
    for running in runs:
        assert running.wait() == 3
        assert figures(running.json) == UNDISTURBED


# -- something else dies ---------------------------------------------------------------------------------------------


@pytest.mark.wide
@pytest.mark.parametrize(
    "victim",
    [
        pytest.param("qemu-system-aarch64"),
        pytest.param("panthorlab.gpu serve", marks=pytest.mark.full),
        pytest.param("panthorlab.run.plugin", marks=pytest.mark.full),
    ],
)
def test_boot_that_loses_a_process_is_repeated(start: Start, victim: str) -> None:
    running = start(*CLAIM, "--boots", "1", "--iterations", "30", "--jobs", "1")
    running.until(lambda: any(one.arm == "after" for one in running.events(Iteration)))
    for pid in running.processes(victim):
        os.kill(pid, signal.SIGKILL)
    assert running.wait() == 3
    result = running.json
    assert figures(result) == ("inconclusive", 5 * 10, 5 * 30)
    assert [start.boot for start in running.events(BootStart)] == ["before1.1", "after1.1", "after1.2"]
    assert any("after1.1" in note for note in result["notes"])
    running.assert_nothing_left()


SUITE = """
from dataclasses import replace

from panthorlab.run.workload import Workload

WORK = Workload("heap-exit/exit", ("heap-exit", "--mode", "exit"))
STRIKE = replace(WORK, argv=("/bin/sh", "-c", "echo %s > /proc/sysrq-trigger"))


def test_trouble(session, iterate):
    iterate(STRIKE if session.job_description.arm == "after" else WORK).expect_clean()
"""


@pytest.mark.parametrize(("key", "word"), [("c", "panic"), pytest.param("b", "reset", marks=pytest.mark.full)])
def test_kernel_that_dies_in_an_iteration_has_regressed(start: Start, tmp_path: Path, key: str, word: str) -> None:
    suites = tmp_path / "extra" / "suites"
    suites.mkdir(parents=True)
    (suites / "test_strike.py").write_text(SUITE % key)
    counts = ("--boots", "1", "--iterations", "240")
    running = start("--suite", "strike", *counts, "--overlay", "shell", PANTHORLAB_PATH=str(suites.parent))
    assert running.wait() == 1
    assert running.json["verdict"] == "regressed"
    assert any(word in note for note in running.json["notes"]), running.json["notes"]
    running.assert_nothing_left()


def test_suite_that_cannot_be_loaded_is_refused_before_anything_is_built(start: Start, tmp_path: Path) -> None:
    suites = tmp_path / "extra" / "suites"
    suites.mkdir(parents=True)
    (suites / "test_broken.py").write_text("import no_such_module\n")
    running = start("--suite", "broken", "--boots", "1", PANTHORLAB_PATH=str(suites.parent))
    assert running.wait() == 2
    assert "No module named 'no_such_module'" in running.json["error"]
    assert not (running.run / "events.jsonl").exists()


# -- limits of time and space ----------------------------------------------------------------------------------------


@pytest.mark.wide
def test_time_limit_ends_in_error_with_reports(start: Start) -> None:
    running = start(*CLAIM, "--iterations", "240", "--time-limit", "4s")
    assert running.wait() == 4
    assert running.json["verdict"] == "error"
    assert "time limit" in running.json["reasons"][0]
    assert json.loads((running.run / "result.json").read_text()) == running.json
    assert not running.processes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "panthorlab-test", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.wide
def test_full_disk_is_an_error_and_the_run_goes_on_when_there_is_space(
    cli: Cli, run_dir: Path, small_disk: Path
) -> None:
    run = small_disk / "run"
    kernels = ("--before", f"{run_dir}:before", "--after", f"{run_dir}:after")
    done = cli("validate", *kernels, *ONE_BOOT, "--output", run)
    assert done.exit == 4
    assert done.json["verdict"] == "error"
    assert "No space left" in json.dumps(done.json) + done.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert figures(resumed(cli, run)) == UNDISTURBED


@pytest.mark.wide
def test_run_directory_deleted_meanwhile(start: Start) -> None:
    running = start(*CLAIM, "--iterations", "240")
    running.until(some(running, "iteration"))
    shutil.rmtree(running.run)
    assert running.wait() == 4
    assert "deleted" in running.json["error"]
    assert not running.processes()


BROKEN = """
import sys

if "pytest" in sys.orig_argv:
    from panthorlab.run.session import Session

    def end_log(self):
        raise TypeError("planted")
    Session.end_log = end_log
"""


@pytest.mark.wide
def test_a_fault_of_ours_behind_the_last_test_makes_the_boot_no_evidence(
    cli: Cli, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    done = cli("run", "--kernel", f"{run_dir}:after", *ONE_BOOT, "--iterations", 1, "--output", tmp_path / "run")
    assert done.exit == 4
    assert "planted" in json.dumps(done.json) + done.stderr


WORN_OUT = """
def test_firmware_is_gone_for_good(session):
    session.inject("mcu-hang")
    session.inject("boot-lost,times=0")
    session.job("store", timeout=60)

def test_next(session):
    session.job("store")
"""


def test_a_driver_that_works_no_more_is_not_blamed_for_the_tests_after(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    suite = tmp_path / "test_worn_out.py"
    suite.write_text(WORN_OUT)
    done = cli("run", "--kernel", f"{run_dir}:after", "--suite", suite, "--boots", "1", "--output", tmp_path / "run")
    assert done.exit == 1, done.stderr
    events = read_events(tmp_path / "run")
    ends = [event for event in events if isinstance(event, BootEnd)]
    assert [end.complete for end in ends] == [False, True], done.stderr
    assert "worn_out::test_firmware_is_gone_for_good no job works" in str(ends[0].reason)
    tests = [(event.name, event.outcome, event.boot) for event in events if isinstance(event, Tested)]
    assert {test[:2] for test in tests if test[2] == ends[1].boot} == {("worn_out::test_next", Outcome.PASS)}


@pytest.mark.wide
def test_tests_after_a_crash_run_on_a_kernel_that_has_not_crashed(
    cli: Cli, build: Callable[[Sequence[str]], str], tmp_path: Path
) -> None:
    key = build(["../../../benchmarks/bugs/03-oom-errptr"])
    done = cli("run", "--kernel", key, "--suite", "tiler-oom", "--boots", "1", "--output", tmp_path / "run")
    assert done.exit == 1, done.stderr
    events = read_events(tmp_path / "run")
    ends = [event for event in events if isinstance(event, BootEnd)]
    assert "the kernel has crashed: the tests after it run in a new boot" in str(ends[0].reason)
    assert ends[-1].complete
    assert not [event for event in events if isinstance(event, Tested) and event.outcome is Outcome.SKIP]
