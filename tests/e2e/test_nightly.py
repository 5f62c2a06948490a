# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights over a real kernel's history: a good one, one in which nothing changed, and one with a planted regression that
is killed in the middle of its bisect and still ends in a report that names the commit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from panthorlab.kernel.driver import ReadFile

from .conftest import Cli
from .kernel_history import DRIVER, Made, Step, add_commit, git

pytestmark = [pytest.mark.e2e, pytest.mark.full]
PATIENCE = 7200.0
FEW = 100
"""Objects; a whole kernel has more than a thousand."""
FILE = """\
title: The seed's bug
trees:
  - name: linux
    url: {url}
    branches: [nightly]
suites: [heap-exit-claim]
iterations: 8
time: exact
bisect:
  boots: 2
"""


BRANCH = "refs/heads/nightly"


def number_kept(content: ReadFile) -> Mapping[str, bytes]:
    """A kernel that is in no store yet, so that it has to be compiled."""
    path = f"{DRIVER}/panthor_drv.c"
    return {path: (content(path) or b"") + f"static const u64 number __used = {time.time_ns()}ull;\n".encode()}


def bisect_boots(state: Path) -> int:
    logs = state.glob("nights/*/*/bisect-1/events.jsonl")
    return sum(json.loads(line)["event"] == "bisect-boot" for log in logs for line in log.read_text().splitlines())


def compiled(kernel: Path) -> int:
    """How many objects a night compiled for a kernel."""
    return sum(line.startswith("  CC ") for line in (kernel / "build.log").read_text().splitlines())


def killed_in_its_bisect(file: Path, state: Path) -> None:
    argv = [sys.executable, "-m", "panthorlab", "nightly", str(file)]
    controller = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + PATIENCE
    while bisect_boots(state) < 1:
        assert controller.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(controller.pid, signal.SIGKILL)
    controller.wait()


def test_the_night_after_a_regression_names_its_commit(history: Made, cli: Cli, tmp_path: Path) -> None:
    file, state = tmp_path / "nightly.yaml", tmp_path / "nightly.state"
    file.write_text(FILE.format(url=history.repository))
    git(history.repository, "update-ref", BRANCH, history.commits[12])

    first = cli("nightly", file, timeout=PATIENCE)
    assert first.exit == 0, first.stderr
    assert first.json["outcome"] == "good", first.json
    assert first.json["judged"] == first.json["attempted"] > 0

    idle = cli("nightly", file)
    assert (idle.exit, idle.json["outcome"], idle.json["attempted"]) == (0, "unchanged", 0), idle.stderr

    git(history.repository, "update-ref", BRANCH, history.commits[-1])
    add_commit(history.repository, BRANCH, Step("Keep a number", number_kept))
    would = cli("nightly", file, "--dry-run")
    assert [row["does"] for row in would.json["kernels"]] == ["test"]
    killed_in_its_bisect(file, state)

    second = cli("nightly", file, timeout=PATIENCE)
    assert second.exit == 1, second.stderr
    assert "goes on" in second.stderr
    (kernel,) = second.json["kernels"]
    assert kernel["outcome"] == "regressed"
    assert kernel["good"]["id"] == history.commits[12]
    assert any(one["name"].startswith("mmu-fault") and one["blamed"] for one in kernel["new"])
    culprit = kernel["culprit"]
    assert [commit["id"] for commit in culprit["commits"]] == [history.planted]
    assert culprit["verified"], culprit
    assert bisect_boots(state) >= 5
    for name in ("night.html", "night.json"):
        assert history.planted[:12] in (Path(second.json["directory"]) / name).read_text()
    assert 0 < compiled(Path(second.json["kernels"][0]["directory"])) < FEW, "it was no increment"

    stands = cli("nightly", file)
    assert (stands.exit, stands.json["outcome"], stands.json["attempted"]) == (1, "regressed", 0), stands.stderr
