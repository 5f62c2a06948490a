# SPDX-License-Identifier: GPL-2.0-or-later
"""When a worker is given up."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from panthorlab.board.registry import open_board
from panthorlab.run import worker
from panthorlab.run.survey import survey
from panthorlab.run.worker import Worker

LONG = 1.0
"""Seconds that a worker may be silent here; the programs last three times as long."""
WRITES = """
import time
for _ in range(30):
    with open("kmsg.log", "a") as log:
        log.write("warning\\n")
    time.sleep(0.1)
"""
IS_ALIVE = """
import pathlib, time
for _ in range(30):
    pathlib.Path("qemu.log").touch()
    time.sleep(0.1)
"""
TELLS = "import os; print(sorted(name for name in os.environ if name.startswith('PYTEST_')))"
SLEEPS = "import time; time.sleep(600)"


@pytest.mark.parametrize(
    ("program", "said"),
    [(WRITES, "ended with status 0"), (IS_ALIVE, "ended with status 0"), (SLEEPS, "said nothing for 1 s")],
)
def test_who_says_nothing_is_given_up_unless_its_logs_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(worker, "SILENCE", LONG)
    monkeypatch.setattr(worker, "worker_argv", lambda *_: [sys.executable, "-c", program])
    board = open_board("qemu-g610")
    assert said in Worker(board, tmp_path, lambda _event: None, threading.Event()).run()


def test_what_the_users_pytest_wants_is_nothing_to_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(worker, "worker_argv", lambda *_: [sys.executable, "-c", TELLS])
    Worker(open_board("qemu-g610"), tmp_path, lambda _event: None, threading.Event()).run()
    told = (tmp_path / "pytest.log").read_text()
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD" in told
    assert "PYTEST_ADDOPTS" not in told
    assert "PYTEST_PLUGINS" not in told


def test_what_the_users_pytest_wants_is_nothing_to_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "test_two.py"
    suite.write_text("def test_one(): pass\n\n\ndef test_two(): pass\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no_such_plugin")
    assert len(survey([suite])) == 2
