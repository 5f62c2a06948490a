# SPDX-License-Identifier: GPL-2.0-or-later
"""A run on two boards of the virtual lab, and what becomes of it when one of them dies for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panthorlab.board import lab as lab_state
from panthorlab.kernel.model import Kernel
from panthorlab.run.record import BoardUp, BootEnd, Iteration, Moved
from panthorlab.run.record.log import read_events, read_run
from tests.virtual_lab.command import environment
from tests.virtual_lab.control import LabClient

pytestmark = [pytest.mark.e2e, pytest.mark.full]

BOARDS = ("virtual-rk", "virtual-rk-2")
DEAD = BOARDS[1]
PATIENCE = 1200.0


@pytest.fixture
def two(virtual_lab_of_two: LabClient, monkeypatch: pytest.MonkeyPatch) -> LabClient:
    """Both boards off and well."""
    for name in ("PANTHORLAB_PATH", "PANTHORLAB_LAB"):
        monkeypatch.setenv(name, environment(virtual_lab_of_two.folder)[name])
    virtual_lab_of_two.heal()
    for board in BOARDS:
        virtual_lab_of_two.order("power", board=board, on=False)
        lab_state.release(board)
    return virtual_lab_of_two


def start(kernels: tuple[Kernel, Kernel], run: Path, iterations: int) -> subprocess.Popen[bytes]:
    argv = [
        sys.executable,
        "-m",
        "panthorlab",
        "validate",
        "--tag",
        "virtual",
        "--before",
        kernels[0].key,
        "--after",
        kernels[1].key,
        "--suite",
        "heap-exit-claim",
        "--iterations",
        str(iterations),
        "--output",
        str(run),
        "--json",
    ]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)


def test_sides_alternate_on_both_boards(two: LabClient, module_kernels: tuple[Kernel, Kernel], tmp_path: Path) -> None:
    with start(module_kernels, tmp_path / "run", 24) as process:
        out, err = process.communicate(timeout=PATIENCE)
    result = json.loads(out)
    for side, count in (("before", 8), ("after", 24)):
        assert result["sides"][side]["iterations"] == 5 * count, err.decode()
        assert [board["board"] for board in result["sides"][side]["per_board"]] == list(BOARDS)


def test_what_a_dead_board_leaves_is_done_by_the_other(
    two: LabClient, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    """It loses power in the middle of its iterations, and its outlet does not switch any more."""
    run = tmp_path / "run"
    with start(module_kernels, run, 96) as process:
        deadline = time.monotonic() + PATIENCE
        while not at_work(run):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        two.order("relay", fault="error", board=DEAD)
        two.order("power", board=DEAD, on=False)
        out, err = process.communicate(timeout=PATIENCE)
    result = json.loads(out)
    sides = result["sides"]
    found = {side: tuple(sides[side][key] for key in ("iterations", "errors")) for side in sides}
    assert found == {"before": (160, 0), "after": (480, 0)}, err.decode()
    assert sides["before"]["faulty"] > 110
    assert sides["after"]["faulty"] == 0
    events = read_run(run)
    moved = {event.slot for event in events if isinstance(event, Moved)}
    assert moved, "slots of the dead board went to the other"
    assert all(event.board.endswith(BOARDS[0]) for event in events if isinstance(event, Moved))
    ends = {event.slot for event in events if isinstance(event, BootEnd) and event.complete}
    assert moved <= ends
    assert any(note.startswith(f"board {DEAD} is given up") for note in result["notes"]), result["notes"]
    assert [lab_state.standing(board).lease for board in BOARDS] == [None, None]


def at_work(run: Path) -> bool:
    """Whether the board that is to die has done some iterations, and has some left."""
    events = read_events(run) if (run / "events.jsonl").exists() else []
    boots = {event.boot for event in events if isinstance(event, BoardUp) and event.name == DEAD}
    return len([event for event in events if isinstance(event, Iteration) and event.boot in boots]) > 5
