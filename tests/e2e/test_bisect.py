# SPDX-License-Identifier: GPL-2.0-or-later
"""A bisect of a real kernel's history, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli
from .kernel_history import FLAKY_SUITE, SELDOM, Made

pytestmark = [pytest.mark.e2e, pytest.mark.full]
PATIENCE = 7200.0


def events(run: Path) -> Iterator[dict[str, Any]]:
    log = run / "events.jsonl"
    for line in log.read_text().splitlines() if log.is_file() else ():
        yield json.loads(line)


def test_a_planted_commit_is_named_though_the_bisect_is_killed(history: Made, cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ends = ("--base", history.repository, "--good", history.commits[0], "--bad", history.commits[-1])
    what = ("--suite", "heap-exit-claim", "--iterations", 2, "--time", "exact", "--output", run)
    argv = [sys.executable, "-m", "panthorlab", "bisect", *map(str, (*ends, *what))]
    controller = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while sum(event["event"] == "bisect-boot" for event in events(run)) < 3:
        assert controller.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(controller.pid, signal.SIGKILL)
    controller.wait()
    before = [event for event in events(run) if event["event"] == "bisect-boot"]

    done = cli("bisect", "--resume", run, timeout=PATIENCE)
    assert done.exit == 0, done.stderr
    assert done.json["culprits"] == [history.planted]
    assert len(done.json["checks"]) == 3
    assert all("as expected" in check and "not as" not in check for check in done.json["checks"]), done.json["checks"]
    boots = [(event["commit"], event["number"]) for event in events(run) if event["event"] == "bisect-boot"]
    assert len(set(boots)) == len(boots), "a boot was made twice"
    assert boots[: len(before)] == [(event["commit"], event["number"]) for event in before]


def test_a_planted_commit_is_named_though_its_fault_comes_in_a_part_of_the_boots_alone(
    history: Made, cli: Cli, tmp_path: Path
) -> None:
    ends = ("--base", history.repository, "--good", history.commits[0], "--bad", history.commits[-1])
    what = ("--suite", FLAKY_SUITE, "--iterations", 1, "--time", "exact", *SELDOM, "--output", tmp_path / "run")
    done = cli("bisect", *ends, *what, timeout=PATIENCE)
    assert done.exit == 0, done.stderr
    assert done.json["culprits"] == [history.planted]
    end = done.json["tested"][history.commits[-1]]
    assert 0.1 <= end["seen"] / (end["seen"] + end["clean"]) <= 0.6, "else the fault is not what this is about"
