# SPDX-License-Identifier: GPL-2.0-or-later
"""The record: every event comes back as it was, whatever version wrote it; what is not understood is not read."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import PanthorlabError, UsageError
from panthorlab.jsonvalue import Json
from panthorlab.run.record import Event, Iteration, Note, OfBoot, Resumed, RunEnd, RunStart, Settings, StrayEvent
from panthorlab.run.record.base import kinds
from panthorlab.run.record.codec import Count, FindingJson, Seconds
from panthorlab.run.record.lines import DamagedError, encode, link
from panthorlab.run.record.log import DamagedLogError, EventLog, read_events, read_run, read_what_is_left
from panthorlab.run.record.versions import VERSION, NewerLogError, as_json, event_of, events_of

from .recorded import typed
from .test_results import END, KERNELS, START, boot

TEXT = st.text(st.characters(exclude_categories=()), max_size=5)  # also what is no Unicode: names of files may be such
JSON = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2)
FINDING = st.dictionaries(TEXT, JSON, max_size=2).flatmap(
    lambda more: st.builds(lambda kind, signature: {**more, "kind": kind, "signature": signature}, TEXT, TEXT)
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """All values that a field of this type can have."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        object: JSON,
        Count: st.integers(0, (1 << 53) - 1),
        Seconds: st.floats(0, 1e10),
        FindingJson: FINDING,
    }
    if kind in plain:
        return plain[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(st.none(), *(values(one) for one in arguments if one is not types.NoneType))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=3)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})
    assert issubclass(kind, StrEnum), kind
    return st.sampled_from(list(kind))


EVENTS = st.sampled_from(sorted(kinds())).flatmap(lambda name: values(kinds()[name]))


@given(EVENTS)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    assert event_of(json.loads(json.dumps(as_json(event)))) == event


def raw(*objects: Mapping[str, Any]) -> bytes:
    line, text = b"", b""
    for one in objects:
        line = encode(one, link(line))
        text, line = text + line, line[:-1]
    return text


def written(tmp: Path, *objects: Mapping[str, Any]) -> Path:
    (tmp / "events.jsonl").write_bytes(raw(*objects))
    return tmp


NOW = as_json(RunStart(options=Settings(), suites=(), version=VERSION)) | {"time": 1.0}
NEWER = {**NOW, "version": VERSION + 1}


def test_an_unknown_event_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    run = written(tmp_path, NEWER, {"event": "retried", "time": 2.0})
    for read in (read_events, read_run, read_what_is_left):
        with pytest.raises(NewerLogError, match=r"line 2 .*`retried` is not known.*newer panthorlab") as caught:
            read(run)
        assert isinstance(caught.value, UsageError)
        assert "update this one" in str(caught.value.hint)


def test_a_known_event_that_a_newer_version_has_changed_is_no_damage(tmp_path: Path) -> None:
    run = written(tmp_path, NEWER, {"event": "note", "time": 2.0, "text": {"en": "x"}})
    with pytest.raises(NewerLogError, match="senseless `text`"):
        read_run(run)


def test_a_newer_log_without_anything_new_is_read(tmp_path: Path) -> None:
    events = read_run(written(tmp_path, NEWER, {"event": "note", "time": 2.0, "text": "x", "colour": "red"}))
    assert [event.EVENT for event in events] == ["run-start", "note"]


def test_an_unknown_event_of_todays_version_is_damage(tmp_path: Path) -> None:
    run = written(tmp_path, NOW, {"event": "retried", "time": 2.0})
    with pytest.raises(DamagedLogError, match=r":2: .*`retried` is not known"):
        read_run(run)


def test_an_unknown_event_of_an_older_version_is_left_out(tmp_path: Path) -> None:
    old = {"event": "run-start", "time": 1.0, "options": {}, "suites": []}
    run = written(tmp_path, old, {"event": "forgotten", "time": 2.0}, {"event": "run-end", "time": 3.0})
    assert [event.EVENT for event in read_run(run)] == ["run-start", "run-end"]
    data = (run / "events.jsonl").read_bytes()
    (run / "events.jsonl").write_bytes(data.replace(b'"run-end","time":3.0', b'"run-end","time":4.0'))
    assert [event.EVENT for event in read_what_is_left(run)] == ["run-start", "damaged"]


def test_a_run_of_an_older_version_that_goes_on_is_of_todays_from_there(tmp_path: Path) -> None:
    old = {"event": "run-start", "time": 1.0, "options": {}, "suites": []}
    side: dict[str, Json] = {
        "event": "test",
        "time": 2.0,
        "boot": "b",
        "side": "after",
        "suite": "s",
        "test": "t",
        "outcome": "PASS",
        "blame": None,
        "message": "",
        "seconds": 1.0,
    }
    written(tmp_path, old, side)
    with EventLog(tmp_path) as log:
        log.append(Resumed(version=VERSION))
        log.append(Note(text="new"))
    events = read_run(tmp_path)
    assert [getattr(event, "arm", "") for event in events] == ["", "after", "", ""]
    with EventLog(tmp_path) as log:
        log.append(Note(text="x"))
    with (tmp_path / "events.jsonl").open("ab") as file:
        last = (tmp_path / "events.jsonl").read_bytes().splitlines()[-1]
        file.write(encode(side, link(last)))
    with pytest.raises(DamagedLogError, match="has no `arm`"):
        read_run(tmp_path)


@pytest.mark.parametrize("version", [0, -1, True, "2", None, 1.5, [2]])
def test_a_senseless_version_is_damage(version: object) -> None:
    with pytest.raises(DamagedError, match="`version`"):
        list(events_of([{**NOW, "version": cast(Json, version)}]))


REQUIRED = [
    (name, field.name)
    for name, kind in sorted(kinds().items())
    for field in fields(kind)
    if field.default is MISSING and field.default_factory is MISSING
]


@given(st.sampled_from(REQUIRED).flatmap(lambda row: st.tuples(st.just(row), values(kinds()[row[0]]))))
def test_an_event_without_what_it_must_have_is_damage_with_its_line(row: tuple[tuple[str, str], Event]) -> None:
    (name, field), event = row
    if isinstance(event, OfBoot):
        event = replace(event, boot="b", slot="s", arm="after")
    whole = as_json(event) | {"time": 1.0, **({"version": 1} if name == "run-start" else {})}
    del whole[field]
    with pytest.raises(DamagedError, match=f"`{name}` has no `{field}`") as caught:
        list(events_of([{**NOW, "version": VERSION}, {**whole, "version": VERSION}]))
    assert caught.value.number == 2


@pytest.mark.parametrize("value", ["3", True, -1, float("nan"), None, [1], 1e12])
def test_nothing_is_taken_for_what_it_only_looks_like(value: object) -> None:
    with pytest.raises(DamagedError, match="senseless `seconds`"):
        list(events_of([NOW, {"event": "session", "time": 1.0, "seconds": cast(Json, value)}]))


def test_what_a_boot_has_told_must_say_of_which_boot_and_arm() -> None:
    (iteration,) = typed([{"event": "iteration", "boot": "after1.1", "side": "after"}])
    for field in ("boot", "arm"):
        without = {key: value for key, value in as_json(iteration).items() if key != field}
        with pytest.raises(DamagedError, match=f"`iteration` has no `{field}`"):
            list(events_of([NOW, without]))


def test_a_validation_has_two_arms_and_no_third() -> None:
    start = {**START, "directory": "/"}
    other = {**boot("after", 1, 1, 1, 0)[0], "time": 1.0, "side": "middle"}
    with pytest.raises(DamagedError, match="`boot-start` has a senseless `side`"):
        list(events_of([start, other]))
    run: dict[str, Json] = {"event": "run-start", "time": 1.0, "options": {}, "suites": []}
    assert len(list(events_of([run, other]))) == 2


def test_arms_were_sides_and_the_oldest_logs_knew_no_markers() -> None:
    finding = {"kind": "oops", "signature": "oops:x"}
    place = {"boot": "b", "side": "before"}
    iteration, stray, unmarked, moved = typed(
        [
            {"event": "iteration", **place},
            {"event": "stray", "finding": finding, "marker": None, **place},
            {"event": "stray", "finding": finding, **place},
            {"event": "moved", "slot": "s", "side": "after"},
        ]
    )
    assert isinstance(iteration, Iteration)
    assert iteration.arm == "before"
    assert isinstance(stray, StrayEvent)
    assert isinstance(unmarked, StrayEvent)
    assert (stray.placed, unmarked.placed) == (True, False)
    assert as_json(moved)["arm"] == "after"


@given(
    st.recursive(JSON, lambda inner: st.dictionaries(TEXT, inner, max_size=4) | st.lists(inner, max_size=4)),
    st.sampled_from(sorted(kinds())),
    st.integers(1, VERSION + 1),
)
def test_no_object_makes_a_traceback(value: Any, name: str, version: int) -> None:
    fields_ = {**value, "event": name, "time": 1.0} if isinstance(value, dict) else {"event": name, "x": value}
    try:
        list(events_of([{**NOW, "version": version}, fields_]))
    except (DamagedError, PanthorlabError):
        return


def test_a_run_that_was_recorded_says_its_version(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.append(RunStart(options=Settings(), suites=(), version=VERSION))
        log.append(RunEnd())
    first = json.loads((tmp_path / "events.jsonl").read_bytes().splitlines()[0])
    assert first["version"] == VERSION


def test_old_runs_have_what_the_first_version_asked_of_them() -> None:
    whole = {**START, "directory": "/"}
    assert list(
        events_of(
            [
                whole,
                *({"time": 1.0, "release": "", "title": "", "fragments": [], **k} for k in KERNELS),
                {**END, "time": 2.0},
            ]
        )
    )
    for place, field in (("options", "boots"), ("options", "seed"), ("", "command"), ("", "directory")):
        broken = json.loads(json.dumps(whole))
        del (broken[place] if place else broken)[field]
        with pytest.raises(DamagedError, match=f"`run-start` has no `{field}`"):
            list(events_of([broken]))
