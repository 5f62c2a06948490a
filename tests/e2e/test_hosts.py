# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots on other hosts: a scheduler and three workers on loopback, each with a cache of its own, one of them killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from panthorlab.run.hosts.repeat import essence
from panthorlab.run.record import BoardUp, BootEnd, BootStep, Iteration, Note, OfBoot
from panthorlab.run.record.log import read_run
from tests.loopback_hosts import loopback_hosts

from .conftest import HOUR, Cli
from .running import Running

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
WORKERS = 3
ASKED = ("--suite", "heap-exit-claim", "--time", "exact", "--iterations", "2", "--boots", "2", "--jobs", "2")
"""One worker has nothing to do, until another one is killed."""


def told(run: Path) -> dict[str, list[str]]:
    """By boot, all that equal boots have in common."""
    found: dict[str, list[str]] = {}
    for event in read_run(run):
        if isinstance(event, OfBoot) and not isinstance(event, BoardUp | BootStep | Note):
            found.setdefault(event.boot, []).append(essence(event))
    return found


def result(answer: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on which boot was first to say what."""
    in_order = {name: sorted(map(json.dumps, answer[name])) for name in ("failed", "errors", "findings")}
    return {"exit": answer["exit"], "workloads": answer["workloads"], **in_order}


def test_a_host_that_is_killed_changes_nothing(cli: Cli, build: Callable[[Sequence[str]], str], tmp_path: Path) -> None:
    asked = ("run", "--kernel", build(["without-fix"]), *ASKED)
    here = cli(*asked, "--output", tmp_path / "here")
    with loopback_hosts(tmp_path, WORKERS) as lab:
        there = Running(tmp_path / "there", [*asked, "--hosts", lab.address, "--output", tmp_path / "there"], {})
        there.until(lambda: there.events(Iteration), timeout=HOUR)
        boot = there.events(Iteration)[0].boot
        address = json.loads((there.run / "boots" / boot / "host.json").read_text())["address"]
        lab.processes[address].send_signal(signal.SIGKILL)
        assert boot not in {event.boot for event in there.events(BootEnd)}, "it was killed in the middle"
        assert there.wait(HOUR) == here.exit == 1, there.stderr

    notes = [event.text for event in there.events(Note)]
    assert any(boot in note and address in note and "died" in note for note in notes), notes
    assert told(there.run) == told(tmp_path / "here")
    assert result(there.json) == result(here.json)
    iterations = there.events(Iteration)
    assert len({event.id for event in iterations}) == len(iterations) > 0
    for name in told(there.run):  # what the controller needs to look closer has come back
        assert (there.run / "boots" / name / "kmsg.log").stat().st_size > 0
    kept = [[path.name for path in (cache / "panthorlab" / "kernels").iterdir()] for cache in lab.caches]
    assert all(len(kernels) == 1 for kernels in kept), kept


def test_kernels_of_a_matrix_are_run_at_once(cli: Cli, build: Callable[[Sequence[str]], str], tmp_path: Path) -> None:
    kernels = [word for patches in ([], ["without-fix"]) for word in ("--kernel", build(patches))]
    asked = ("matrix", *kernels, "--suite", "probe", "--boots", "1")
    here = cli(*asked, "--output", tmp_path / "here")
    with loopback_hosts(tmp_path, 2) as lab:
        there = cli(*asked, "--hosts", lab.address, "--output", tmp_path / "there")
    assert there.exit == here.exit == 0, there.stderr
    assert [column["results"] for column in there.json["kernels"]] == [
        column["results"] for column in here.json["kernels"]
    ]
    spans = []
    for run in (tmp_path / "there").glob("*/events.jsonl"):
        events = read_run(run.parent)
        (up,) = [event.time for event in events if isinstance(event, BoardUp)]
        (end,) = [event.time for event in events if isinstance(event, BootEnd)]
        spans.append((up, end))
    (up, end), (other_up, other_end) = spans
    assert up < other_end
    assert other_up < end
