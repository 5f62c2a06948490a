# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard's command: what it refuses, and what it says when the machine is in its way."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

bugs: Any = importlib.import_module("benchmarks.bugs")  # beside it is a folder of that name, which mypy takes it for


def test_a_page_is_not_written_over_its_own_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert bugs.parse(["--table", "page.md"]).table == Path("page.md")
    with pytest.raises(SystemExit) as refused:
        bugs.parse(["--table", "page.json"])
    assert refused.value.code == 2
    assert "its data go beside it" in capsys.readouterr().err


def test_results_that_cannot_be_read_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bugs.py", "--no-run", "--only", "00", "--suite", "probe", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    assert bugs.status() == 4
    assert str(tmp_path) in capsys.readouterr().err.splitlines()[0]


def test_of_two_runs_on_one_file_the_second_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "new" / "results.jsonl"
    entered = Event()

    def second() -> None:
        with bugs.only_one(results):
            entered.set()

    other = Thread(target=second)
    with bugs.only_one(results):
        other.start()
        assert not entered.wait(0.5)
    other.join(60)
    assert entered.is_set()
    assert "waiting for another run" in capsys.readouterr().err
