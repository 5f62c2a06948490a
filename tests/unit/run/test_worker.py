# SPDX-License-Identifier: GPL-2.0-or-later
"""When a worker is given up."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from panthorlab.board.registry import open_board
from panthorlab.run import worker
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
