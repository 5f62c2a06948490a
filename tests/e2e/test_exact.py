# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time: the same seed is the same run, also on a busy host; another seed is another run; faults stay faults."""

from __future__ import annotations

import json
import multiprocessing
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli
from .rsp import Remote
from .test_command import run as command

pytestmark = pytest.mark.e2e
SUITE = ("--suite", "heap-exit-claim", "--iterations", "4", "--boots", "1")
WALL = ("time", "begin", "end", "seconds", "c")
"""What may differ between two equal runs: the host's clock, and the sum over a line with that in it."""


def spin() -> None:
    while True:
        pass


@contextmanager
def busy_host() -> Iterator[None]:
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(multiprocessing.cpu_count())]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def all_events(run: Path) -> list[dict[str, Any]]:
    """The events of a run, without what is the host's."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().replace(str(run), "RUN").splitlines()]
    for event in events:
        event.get("facts", {}).pop("host_cpu", None)
    return [{key: value for key, value in event.items() if key not in WALL} for event in events]


def boots(run: Path) -> list[dict[str, Any]]:
    """Those of the boots."""
    return [event for event in all_events(run) if "boot" in event]


def test_a_seed_is_a_run(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    def run(name: str, side: str, seed: int) -> list[dict[str, Any]]:
        done = cli("run", "--kernel", f"{run_dir}:{side}", "--time", "exact", "--seed", seed, *SUITE,
                   "--output", tmp_path / name)  # fmt: skip
        assert done.exit == (0 if side == "after" else 1), done.stderr
        return all_events(tmp_path / name)

    first = run("first", "after", 1)
    with busy_host():
        again = run("again", "after", 1)
    assert again == first
    end = next(event for event in first if event["event"] == "boot-end")
    assert end["complete"]
    assert end["digest"]
    other = run("other", "after", 2)
    assert next(event for event in other if event["event"] == "boot-end")["digest"] != end["digest"]
    unfixed = [event for event in run("unfixed", "before", 1) if event["event"] == "iteration"]
    assert {event["outcome"] for event in unfixed} == {"FAIL"}
    assert {event["outcome"] for event in first if event["event"] == "iteration"} == {"PASS"}


CRASH = """
import pytest

def test_failure_that_names_objects(session):
    assert {*"abcdefgh"} == {session.struck}

@pytest.mark.parametrize("key", ["c", "b"])
def test_crash(session, key):
    session.job("store")
    session.board.shell.put(key.encode(), "/proc/sysrq-trigger")
"""


@pytest.mark.wide
def test_a_kernel_that_dies_does_so_at_one_instruction(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    """A panic, then (the second boot has the rest of the tests) a reset without a word."""
    suite = tmp_path / "test_crash.py"
    suite.write_text(CRASH)

    def run(name: str) -> list[dict[str, Any]]:
        done = cli("run", "--kernel", f"{run_dir}:after", "--time", "exact", "--suite", suite, "--boots", "1",
                   "--output", tmp_path / name)  # fmt: skip
        assert done.exit == 1, done.stderr
        return all_events(tmp_path / name)

    with busy_host():
        first = run("first")
    ends = [event for event in first if event["event"] == "boot-end" and event["booted"]]
    assert [end["outcome"] for end in ends] == ["FAIL", "FAIL"]
    assert "kernel panic: sysrq triggered crash" in ends[0]["reason"]
    assert "without a word" in ends[1]["reason"]
    assert run("again") == first


def test_a_command_has_a_digest_and_blocks(run_dir: Path, tmp_path: Path) -> None:
    def run(number: int) -> Any:
        done = command(f"{run_dir}:after", tmp_path / str(number), "heap-exit", "--mode", "sigkill",
                       options=["--time", "exact", "--param", "gpu.exact.blocks=on", "--json"])  # fmt: skip
        return json.loads(done.stdout)["digest"]

    digest = run(1)
    assert run(2) == digest
    assert int(digest["blocks"], 16)


def test_an_iteration_comes_back(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cli("run", "--kernel", f"{run_dir}:before", "--time", "exact", "--seed", 5, *SUITE, "--output", run)
    ran = [event for event in boots(run) if event["event"] == "iteration"]
    wanted = ran[5]  # of the second workload: what came before in its boot is repeated, too
    with busy_host():
        done = cli("replay", f"{run}:{wanted['id']}", "--output", tmp_path / "replay")
    assert done.exit == 0, done.stderr
    assert done.json["iterations"] == 6
    assert done.json["differences"] == []
    assert done.json["findings"] == wanted["findings"]
    again = [event for event in boots(tmp_path / "replay") if event["event"] == "iteration"]
    assert again == ran[:6]
    assert all(Path(file).stat().st_size for file in done.json["files"].values())
    assert {"trace", "accesses"} <= set(done.json["files"])

    job = run / "boots" / wanted["boot"] / "job.json"
    job.write_text(job.read_text().replace('"seed": 5', '"seed": 6'))
    done = cli("replay", f"{run}:{wanted['id']}", "--output", tmp_path / "other")
    assert done.exit == 3, done.stderr
    assert done.json["differences"]


FAILING = """
def test_well(session):
    session.job("store")

def test_unwell(session):
    session.job("store")
    try:
        assert session.program("gpu-job", "--mode", "bad-store").findings == ()
    finally:
        session.job("store")

def test_behind(session):
    session.job("store")
"""


def test_what_a_test_ran_comes_back(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    """By the test's name: the program that failed it, with what was before in its boot, and nothing behind it."""
    run, suite = tmp_path / "run", tmp_path / "test_mine.py"
    suite.write_text(FAILING)
    cli("run", "--kernel", f"{run_dir}:before", "--seed", 5, "--suite", suite, "--boots", 1, "--output", run)
    tests = [event for event in boots(run) if event["event"] == "test"]
    assert [event["outcome"] for event in tests[:2]] == ["PASS", "FAIL"]
    done = cli("replay", f"{run}:mine::test_unwell", "--trace-functions", "--output", tmp_path / "replay")
    assert done.exit == 0, done.stderr
    assert (done.json["iteration"], done.json["tests"]) == (tests[1]["last"], 1)
    assert "mmu-fault" in {finding["kind"] for finding in done.json["findings"]}
    calls = Path(done.json["files"]["calls"]).read_text()
    assert {"panthor_open", "drm_sched_run_job_work"} <= {line.split()[-1] for line in calls.splitlines()}
    again = [event["test"] for event in boots(tmp_path / "replay") if event["event"] == "test"]
    assert again == ["test_well"]


@pytest.mark.wide
def test_a_fault_is_seen_in_gdb_before_it_comes(run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    """The traced boot is as on record; the stopped one is as the traced one, up to the stop and after it."""
    run, output = tmp_path / "run", tmp_path / "replay"
    cli("run", "--kernel", f"{run_dir}:before", "--time", "exact", "--seed", 5, *SUITE, "--output", run)
    wanted = next(event for event in boots(run) if event["event"] == "iteration" and event["findings"])
    argv = [sys.executable, "-m", "panthorlab", "replay", f"{run}:{wanted['id']}", "--trace-functions", "--gdb",
            "--output", str(output)]  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as replay:
        assert replay.stdout is not None
        assert replay.stderr is not None
        lines: list[str] = []
        for line in iter(replay.stderr.readline, ""):
            lines.append(line)
            if "target remote" in line:
                break
        assert "target remote" in lines[-1], lines
        place = re.search(r"before instruction (\d+) of the guest, at (0x[0-9a-f]+): the GPU faults", "".join(lines))
        assert place, lines
        with Remote(shlex.split(lines[-1])[-1].removeprefix("target remote ")) as gdb:
            assert gdb.pc() == int(place[2], 16)
            gdb.detach()
        stdout, stderr = replay.communicate(timeout=300)
    assert replay.returncode == 0, stderr
    assert "all came as without it" in stderr
    boot = Path("boots") / wanted["boot"]
    accesses = (output / boot / "gpu-accesses.log").read_text()
    assert (output / "gdb" / boot / "gpu-accesses.log").read_text() == accesses
    check_calls((output / boot / "driver-calls.log").read_text(), accesses)
    assert (output / boot / "driver-calls.log").read_text() in stdout


def check_calls(calls: str, accesses: str) -> None:
    """The driver's calls hang together, with each other and with what the GPU has seen."""
    rows = [(int(match[1]), match[2]) for match in re.finditer(r"^ *(\d+) [\d.]+ #.{3} (.+)$", calls, re.MULTILINE)]
    assert len(rows) == len(calls.splitlines()) - 2
    counts = [count for count, _ in rows]
    assert counts == sorted(counts)
    names = {name.strip() for _, name in rows}
    assert {"panthor_open", "panthor_ioctl_vm_create", "panthor_mmu_irq_raw_handler", "panthor_postclose"} <= names
    depth = {name.strip(): len(name) - len(name.lstrip()) for _, name in rows}
    assert depth["panthor_open"] == 0
    assert depth["panthor_vm_pool_create"] > 0
    interrupts = [int(line.split()[1]) for line in accesses.splitlines() if line.startswith("I ")]
    handlers = [count for count, name in rows if name.strip().endswith("_irq_raw_handler")]
    assert handlers
    for handler in handlers:  # each is called right after the GPU has raised an interrupt
        assert any(0 <= handler - count < 10_000 for count in interrupts)


def test_a_guest_that_takes_too_long_is_ended_at_the_same_instruction(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "hasty.yaml").write_text("type: emulated\ntime: exact\ntime_limits: {boot: 0.1}\n")
    pattern = re.compile(r"the guest has executed (\d+) instructions; the last event of the GPU: .*")
    errors: list[re.Match[str]] = []
    for number in range(2):
        options = ["--board", str(tmp_path / "hasty.yaml")]
        done = command(f"{run_dir}:after", tmp_path / str(number), "true", options=options)
        assert done.returncode in (1, 4), done.stderr
        errors += pattern.finditer(done.stderr)
    first, second = errors
    assert first[0] == second[0]
    assert int(first[1]) * 8e-9 == pytest.approx(0.1, abs=0.01)
