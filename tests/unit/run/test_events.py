# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import LabError, UsageError
from panthorlab.run.events import EventLog, new_run_dir, read_events, read_run


def test_events_come_back_in_order(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.append("run-start", options={"a": 1})
        log.append("iteration", id="x-1")
    assert [event["event"] for event in read_events(tmp_path)] == ["run-start", "iteration"]


@given(cut=st.integers(min_value=1, max_value=60))
def test_torn_last_line_is_cut_and_never_counted(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    run = tmp_path_factory.mktemp("run")
    with EventLog(run) as log:
        log.append("first")
        whole = log.path.stat().st_size
        log.append("second", text="x" * 100)
    data = log.path.read_bytes()
    log.path.write_bytes(data[: whole + min(cut, len(data) - whole - 1)])
    assert [event["event"] for event in read_events(run)] == ["first"]
    with EventLog(run) as log:
        log.append("third")
    assert [event["event"] for event in read_events(run)] == ["first", "third"]


def test_damage_in_the_middle_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event":"a"}\n{"eve\n{"event":"b"}\n')
    with pytest.raises(LabError, match=r"events\.jsonl:2"):
        read_events(tmp_path)


def test_two_controllers_cannot_share_a_run(tmp_path: Path) -> None:
    with EventLog(tmp_path), pytest.raises(UsageError, match="another panthorlab"):
        EventLog(tmp_path)


def test_new_run_does_not_overwrite_an_old_one(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.append("run-start")
    with pytest.raises(UsageError, match="already holds a run"):
        new_run_dir(tmp_path)


def test_missing_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        read_events(tmp_path)


def test_run_killed_before_its_first_event_can_be_started_again_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"event": "run-st')
    assert new_run_dir(tmp_path) == tmp_path
    with pytest.raises(UsageError, match="never started"):
        read_run(tmp_path)


@pytest.mark.parametrize("line", ["[]", "3", "{}", "null"])
def test_line_that_is_no_event_is_damage(tmp_path: Path, line: str) -> None:
    (tmp_path / "events.jsonl").write_text(line + "\n")
    with pytest.raises(LabError, match=r"events\.jsonl:1"):
        read_events(tmp_path)


def test_log_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with EventLog(run) as log:
        log.append("first")
        shutil.rmtree(run)
        with pytest.raises(LabError, match="deleted"):
            log.append("second")


def test_event_that_fits_only_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventLog(tmp_path) as log:
        log.append("first")
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(LabError, match="No space left"):
            log.append("second")
        monkeypatch.undo()
        log.append("third")
    assert [event["event"] for event in read_events(tmp_path)] == ["first", "third"]
