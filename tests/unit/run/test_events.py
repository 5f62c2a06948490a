# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.errors import LabError, UsageError
from panthorlab.run import reports
from panthorlab.run.record import Event, Note, PhaseEvent, RunStart, Settings
from panthorlab.run.record.lines import encode, link
from panthorlab.run.record.log import (
    DamagedLogError,
    EventLog,
    is_validation,
    new_run_dir,
    read_events,
    read_run,
    read_what_is_left,
)
from panthorlab.verdict.model import Verdict

from .recorded import typed
from .test_results import END, KERNELS, START, boot


def texts(run: Path) -> list[str]:
    """Of all notes of a run, which has nothing else."""
    return [event.text for event in read_events(run) if isinstance(event, Note)]


def test_events_come_back_in_order(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        written = [log.append(RunStart(options=Settings(seed=3), suites=("probe",))), log.append(Note(text="x-1"))]
    assert read_events(tmp_path) == written
    assert all(event.time for event in written)


@given(cut=st.integers(min_value=1, max_value=60))
def test_torn_last_line_is_cut_and_never_counted(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    run = tmp_path_factory.mktemp("run")
    with EventLog(run) as log:
        log.append(Note(text="first"))
        whole = log.path.stat().st_size
        log.append(Note(text="second" + "x" * 100))
    data = log.path.read_bytes()
    log.path.write_bytes(data[: whole + min(cut, len(data) - whole - 1)])
    assert texts(run) == ["first"]
    with EventLog(run) as log:
        log.append(Note(text="third"))
    assert texts(run) == ["first", "third"]


def test_damage_in_the_middle_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"event":"run-end","time":1}\n{"eve\n{"event":"run-end"}\n')
    with pytest.raises(LabError, match=r"events\.jsonl:2"):
        read_events(tmp_path)


def test_two_controllers_cannot_share_a_run(tmp_path: Path) -> None:
    with EventLog(tmp_path), pytest.raises(UsageError, match="another panthorlab"):
        EventLog(tmp_path)


def test_new_run_does_not_overwrite_an_old_one(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.append(RunStart(options=Settings(), suites=()))
    with pytest.raises(UsageError, match="already holds a run"):
        new_run_dir(tmp_path)


def test_missing_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        read_events(tmp_path)


def test_what_is_no_file_of_a_run_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    for name in ("pipe", "directory", "huge"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe/events.jsonl")
    (tmp_path / "directory/events.jsonl").mkdir()
    with (tmp_path / "huge/events.jsonl").open("wb") as file:
        file.truncate(2 << 30)
    for name in ("pipe", "directory", "huge"):
        with pytest.raises(UsageError, match="no event log"):
            read_events(tmp_path / name)


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
        log.append(Note(text="first"))
        shutil.rmtree(run)
        with pytest.raises(LabError, match="deleted"):
            log.append(Note(text="second"))


def test_event_that_fits_only_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventLog(tmp_path) as log:
        log.append(Note(text="first"))
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(LabError, match="No space left"):
            log.append(Note(text="second"))
        monkeypatch.undo()
        log.append(Note(text="third"))
    assert texts(tmp_path) == ["first", "third"]


# -- damage ----------------------------------------------------------------------------------------------------------

LINES = [
    b'{"event":"session","time":1,"seconds":1}',
    b'{"event":"note","time":1,"text":"caf\\u00e9"}',
    b'{"event":"run-end","time":2}',
    b'{"event":"identical","time":2,"why":"[1,2]","x":[1,2]}',
]


def whole_log() -> bytes:
    text, line = b"", b""
    for plain in LINES:
        line = encode(json.loads(plain), link(line))
        text += line
        line = line[:-1]
    return text


def read(tmp: Path, data: bytes) -> list[Event]:
    (tmp / "events.jsonl").write_bytes(data)
    return read_events(tmp)


EVENTS = typed(json.loads(line) for line in LINES)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)


@shared
@given(data=st.data())
def test_no_change_of_a_log_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is read is what was written, or its beginning if the end is missing; or it is said that it is not."""
    text = whole_log()
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, min(len(text), start + data.draw(st.sampled_from([1, 8, 200])))))
    new = data.draw(
        st.one_of(
            st.binary(max_size=8),
            st.just(b"\0" * (end - start)),
            st.just(text[start:end] * 2),
            st.just(b""),
            st.integers(0, 7).map(lambda bit: bytes([text[start] ^ 1 << bit]) + text[start + 1 : end]),
        )
    )
    try:
        found = read(tmp_path, text[:start] + new + text[end:])
    except DamagedLogError as error:
        found = error.readable
    assert found == EVENTS[: len(found)]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:3], b"{}"],
        lambda lines: [*lines[:2], lines[2].replace(b',"c":', b',"C":'), lines[3]],
        lambda lines: [*lines[:3], LINES[3]],
    ],
)
def test_lines_missing_moved_and_doubled(tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = whole_log().splitlines()
    with pytest.raises(DamagedLogError):
        read(tmp_path, b"".join(line + b"\n" for line in change(lines)))


def test_a_log_of_an_older_version_is_read_and_continued(tmp_path: Path) -> None:
    assert read(tmp_path, b"".join(line + b"\n" for line in LINES)) == EVENTS
    with EventLog(tmp_path) as log:
        new = [log.append(PhaseEvent(name="new", seconds=1.0)), log.append(Note(text="newer"))]
    assert read_events(tmp_path) == [*EVENTS, *new]
    data = (tmp_path / "events.jsonl").read_bytes()
    with pytest.raises(DamagedLogError, match=":4:"):
        read(tmp_path, data.replace(b'"x":[1,2]', b'"x":[1,3]'))


def _run(tmp: Path, change: Callable[[list[dict[str, Any]]], Any] = lambda _events: None, *, after: int = 120) -> Path:
    """A run whose verdict is `fixed`, as its log would have been written after `change`."""
    start = {**START, "directory": "/", "options": {**START["options"]}}
    kernels = [{**kernel, "release": "6.12", "title": "x", "fragments": []} for kernel in KERNELS]
    events = json.loads(
        json.dumps(
            [
                start,
                *kernels,
                *boot("before", 1, 1, after, after),
                *boot("after", 1, 1, after, 0),
                *boot("after", 2, 1, after, 0),
                *boot("before", 2, 1, after, after),
                END,
            ]
        )
    )
    events = [{"time": 1.0, **event} for event in events]
    change(events)
    line, text = b"", b""
    for event in events:
        line = encode(event, link(line))
        text, line = text + line, line[:-1]
    (tmp / "events.jsonl").write_bytes(text)
    return tmp


def test_a_verdict_is_never_made_from_a_log_with_a_hole(tmp_path: Path) -> None:
    assert reports.judge(read_what_is_left(_run(tmp_path))).verdict == Verdict.FIXED
    path = tmp_path / "events.jsonl"
    lines = path.read_bytes().split(b"\n")
    for number in (5, 100, 300, len(lines) - 3):
        path.write_bytes(b"\n".join([*lines[:number], *lines[number + 1 :]]))
        with pytest.raises(DamagedLogError, match=f":{number + 1}:"):
            read_run(tmp_path)
        verdict = reports.judge(read_what_is_left(tmp_path))
        assert (verdict.verdict, verdict.exit) == (Verdict.ERROR, 4)
        assert "damaged event log" in verdict.reasons[0]
    path.write_bytes(b"\n".join(lines[:-2]) + b"\n")  # nobody can know that there was more; but it is not the end
    assert reports.judge(read_what_is_left(tmp_path)).verdict == Verdict.ERROR


def test_a_failed_build_in_a_damaged_log_is_no_verdict(tmp_path: Path) -> None:
    _run(tmp_path, lambda events: events.insert(3, {"event": "build-failed", "message": "no", "time": 1.0}))
    assert reports.judge(read_what_is_left(tmp_path)).verdict == Verdict.REGRESSED
    data = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / "events.jsonl").write_bytes(data.replace(b'"after1.1-7"', b'"after1.1-8"'))
    assert reports.judge(read_what_is_left(tmp_path)).verdict == Verdict.ERROR


FIELDS = sorted({(event["event"], field) for event in [START, *KERNELS, *boot("after", 1, 1, 1, 0)] for field in event})


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("value", [None, "missing", 3, [], {}, "\0", float("nan"), [3], True])
def test_events_of_another_shape_are_no_traceback(tmp_path: Path, name: str, field: str, value: Any) -> None:
    """A line that is whole by its checksum: written by something else. Report and verdict go through, or say where."""

    def change(events: list[dict[str, Any]]) -> None:
        for event in events:
            if event["event"] == name and field != "event":
                if value == "missing":
                    del event[field]
                else:
                    event[field] = value

    try:
        events = read_what_is_left(_run(tmp_path, change, after=2))
        if not is_validation(events):
            return
        verdict = reports.judge(events)
    except (LabError, UsageError):
        return
    reports.write(tmp_path, events, verdict, as_json=True)


# -- full disks ------------------------------------------------------------------------------------------------------


def test_an_event_that_the_disk_has_no_room_for(tmp_path: Path) -> None:
    """With `ulimit -f`, which an ordinary user can set."""
    with EventLog(tmp_path) as log:
        log.append(Note(text="first"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 10, hard))
        try:
            with pytest.raises(LabError, match="disk is full"):
                log.append(Note(text="second" + "x" * 100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.append(Note(text="third"))
    assert texts(tmp_path) == ["first", "third"]


def test_reports_that_cannot_be_written_are_named_and_the_others_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = read_what_is_left(_run(tmp_path))
    (tmp_path / "junit.xml").mkdir()
    assert reports.write(tmp_path, events, reports.judge(events), as_json=True) == 4
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["verdict"], result["exit"]) == ("error", 4)
    assert "the verdict is `fixed`" in result["reasons"][0]
    assert "junit.xml: Is a directory" in err
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "result.json").is_file()


def test_nor_what_a_single_command_has_left(tmp_path: Path) -> None:
    """That has no log of events."""
    (tmp_path / "console.log").write_text("[    0.000000] Booting Linux\n")
    with pytest.raises(UsageError, match="already holds a run"):
        new_run_dir(tmp_path)
