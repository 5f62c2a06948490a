# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots on other hosts: a scheduler and three workers on loopback, each with a cache of its own, one of them killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab import spawn
from panthorlab.run.hosts.repeat import essence
from panthorlab.run.record import BoardUp, BootStep, Iteration, Note, OfBoot
from panthorlab.run.record.log import read_run
from tests.loopback_hosts import LoopbackHosts, loopback_hosts

from .conftest import HOUR, Cli, Done

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
WORKERS = 3
ASKED = ("--suite", "heap-exit-claim", "--time", "exact", "--iterations", "4", "--boots", "3")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LoopbackHosts]:
    with loopback_hosts(tmp_path, WORKERS) as hosts:
        yield hosts


def _start(kernel: str, lab: LoopbackHosts, run: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "panthorlab", "run", "--kernel", kernel, *ASKED, "--hosts", lab.address]
    with (run.with_suffix(".json")).open("wb") as out, run.with_suffix(".err").open("wb") as err:
        return spawn.spawn([*argv, "--json", "--output", str(run)], stdout=out, stderr=err)


def _await_iteration(run: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """A boot that has an iteration on record and has not ended, and the address of its host."""
    while process.poll() is None:
        events = [json.loads(line) for line in _whole_lines(run / "events.jsonl")]
        ended = {event["boot"] for event in events if event["event"] == "boot-end"}
        open_ = [event["boot"] for event in events if event["event"] == "iteration" and event["boot"] not in ended]
        if open_:
            return open_[0], json.loads((run / "boots" / open_[0] / "host.json").read_text())["address"]
        time.sleep(0.05)
    raise AssertionError(run.with_suffix(".err").read_text())


def _whole_lines(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def _told(run: Path) -> dict[str, list[str]]:
    """By boot, all that equal boots have in common."""
    found: dict[str, list[str]] = {}
    for event in read_run(run):
        if isinstance(event, OfBoot) and not isinstance(event, BoardUp | BootStep | Note):
            found.setdefault(event.boot, []).append(essence(event))
    return found


def test_a_host_that_is_killed_changes_nothing(cli: Cli, run_dir: Path, lab: LoopbackHosts, tmp_path: Path) -> None:
    kernel = f"{run_dir}:before"
    here: Done = cli("run", "--kernel", kernel, *ASKED, "--output", tmp_path / "here")
    run = tmp_path / "there"
    process = _start(kernel, lab, run)
    try:
        boot, address = _await_iteration(run, process)
        lab.processes[address].send_signal(signal.SIGKILL)
        assert process.wait(HOUR) == here.exit == 1, run.with_suffix(".err").read_text()
    finally:
        spawn.end(process, gently=30)
    notes = [event.text for event in read_run(run) if isinstance(event, Note)]
    assert any(boot in note and address in note and "died" in note for note in notes), notes
    assert _told(run) == _told(tmp_path / "here")
    there = json.loads(run.with_suffix(".json").read_text())
    same = ("exit", "tests", "workloads", "findings")
    assert {name: there[name] for name in same if name in there} == {
        name: here.json[name] for name in same if name in here.json
    }
    iterations = [event for event in read_run(run) if isinstance(event, Iteration)]
    assert len({event.id for event in iterations}) == len(iterations) > 0
    for name in _told(run):  # what the controller needs to look closer has come back
        assert (run / "boots" / name / "kmsg.log").stat().st_size > 0
    kept = [[path.name for path in (cache / "panthorlab" / "kernels").iterdir()] for cache in lab.caches]
    assert all(len(kernels) == 1 for kernels in kept), kept
