# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of logs, tests and commits cannot command the terminal that it is shown on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from panthorlab import cli
from panthorlab.outcome import Blame, Outcome
from panthorlab.run import record
from panthorlab.run.bisect.command import report
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import BisectEnd, BisectStart, BootEnd, Event, Iteration, RunEnd, RunStart, Settings
from tests import made_runs
from tests.made_runs import ALONE, MadeRun, write_run

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07\u202ec\x9b31m\rd"


def shown(text: str) -> str:
    assert all(char.isprintable() or char in "\n\t" for char in text), ascii(text)
    return text


def test_the_summary_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = made_runs._events

    def hostile(run: MadeRun) -> Iterator[Event]:
        for event in own(run):
            match event:
                case record.Tested():
                    yield replace(event, outcome=Outcome.FAIL, blame=Blame.KERNEL, message=HOSTILE)
                case Iteration():
                    yield replace(event, message=HOSTILE)
                case BootEnd():
                    yield replace(event, outcome=Outcome.FAIL, blame=Blame.KERNEL, reason=HOSTILE)
                case _:
                    yield event

    monkeypatch.setattr(made_runs, "_events", hostile)
    run = write_run(tmp_path / "run", replace(ALONE, rates={f"heap-exit/{HOSTILE}": {"kernel": (2, 10)}}))
    assert cli.main(["report", str(run)]) == 1
    assert "FAILED boot kernel1.1" in shown(capsys.readouterr().out)


def test_the_result_of_a_bisect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = BisectEnd(culprits=(), checks=(HOSTILE,), reason=f"{HOSTILE}\n  second", exit=3, hint=HOSTILE)
    start = BisectStart(repository=str(tmp_path), good=("a",), bad="b", signature="", limit=1)
    events = [RunStart(options=Settings(), suites=(), version=1), start, end, RunEnd()]
    assert report(tmp_path, events, as_json=False) == 3
    assert "\n  second\n" in shown(capsys.readouterr().out)


def test_progress() -> None:
    stream = io.StringIO()
    progress = ProgressDisplay(stream=stream)
    progress.step(f"building {HOSTILE}")
    progress.line(f"test {HOSTILE}\n  second")
    progress.note(HOSTILE)
    assert len(shown(stream.getvalue()).splitlines()) == 4
