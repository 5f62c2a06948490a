# SPDX-License-Identifier: GPL-2.0-or-later
"""Several runs at once: what each gives, and that whatever ends one ends all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.registry import open_board
from panthorlab.errors import LabError
from panthorlab.run.abreast import HaltedError, abreast
from panthorlab.run.controller import Controller
from panthorlab.run.fleet import Lane
from panthorlab.run.job import Job
from panthorlab.run.plan import Slot
from panthorlab.run.record.log import EventLog

WAIT = 60.0


def until_halted(stop: threading.Event) -> str:
    assert stop.wait(WAIT)
    raise HaltedError


def no_job(slot: Slot) -> Job:
    raise AssertionError(f"nothing boots any more, but {slot} would")


def test_all_are_under_way_at_once_and_give_their_own() -> None:
    met = threading.Barrier(3)

    def run(name: str) -> str:
        met.wait(WAIT)
        return name

    assert abreast([partial(run, name) for name in "abc"], threading.Event()) == ["a", "b", "c"]


def test_what_ends_one_ends_all_and_is_what_is_said() -> None:
    stop, halted = threading.Event(), threading.Event()

    def follows() -> str:
        try:
            return until_halted(stop)
        finally:
            halted.set()

    def fails() -> str:
        stop.set()  # as a controller does, which then waits for its boots
        assert halted.wait(WAIT)
        raise LabError("the disk is full")

    runs: list[Callable[[], str]] = [follows, fails]
    with pytest.raises(LabError, match="the disk is full"):
        abreast(runs, stop)


def test_ctrl_c_ends_all() -> None:
    stop, met, ended = threading.Event(), threading.Barrier(2), []

    def run(interrupt: Callable[[], object]) -> str:
        met.wait(WAIT)
        interrupt()
        try:
            return until_halted(stop)
        finally:
            ended.append(1)

    with pytest.raises(KeyboardInterrupt):
        abreast([partial(run, partial(signal.raise_signal, signal.SIGINT)), partial(run, int)], stop)
    assert len(ended) == 2


def test_ctrl_c_while_they_are_started_lets_none_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    pools: list[ThreadPoolExecutor] = []
    submit = ThreadPoolExecutor.submit

    def interrupted(pool: ThreadPoolExecutor, *work: Any) -> Future[str]:
        if pools:
            raise KeyboardInterrupt
        pools.append(pool)
        return submit(pool, *work)

    def begin() -> str:
        begun.append("begun")
        return "done"

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        abreast([begin, begin], threading.Event())
    assert not begun


def test_a_controller_that_is_halted_does_not_pass_for_one_that_is_done(tmp_path: Path) -> None:
    stop, board = threading.Event(), open_board("qemu-g610")
    stop.set()
    with EventLog(tmp_path) as log:
        lane = Lane(board)
        controller = Controller(log, tmp_path, [], no_job, lanes=[lane], progress=lambda _event: None, stop=stop)
        with pytest.raises(HaltedError):
            controller.run([])
