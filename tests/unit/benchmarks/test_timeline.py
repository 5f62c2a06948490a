# SPDX-License-Identifier: GPL-2.0-or-later
"""Two logs on one clock, and the count of what became of each flush."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.timeline import ROBBED, flushes, notes, offset, timeline

HZ = 62_500_000


def line(ns: int, task: str, what: str, first: str = "0", second: str = "0") -> str:
    comm, pid = task.rsplit("/", 1)
    return f"6,1,2,-;residual: {ns} {pid}/{comm} {what} {first} {second}\n"


def reading(before: int, ticks: int, after: int) -> str:
    return f"6,1,2,-;residual: clock {before} {ticks} {after}\n"


READINGS = st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1)


@given(st.integers(0, 10**15), READINGS)
def test_the_offset_is_within_its_error(shift_ns: int, readings: list[tuple[int, int, int]]) -> None:
    origin = 5e6
    log = [reading(at, (at + late + shift_ns) * HZ // 10**9, at + late + more) for at, late, more in readings]
    found = offset(log, origin, HZ)
    assert abs(found.us - (origin + shift_ns / 1000)) <= found.error + 0.2  # a tick, and floating point
    assert found.error == min((late + more) / 2000 for _, late, more in readings)


def test_a_log_without_readings_is_refused() -> None:
    with pytest.raises(ValueError, match="no readings"):
        offset([line(1, "a/1", "tick-starts")], 0, HZ)


def test_notes_that_are_printed_twice_count_once_and_names_may_have_spaces() -> None:
    twice = line(20, "a b/7", "flush-begins")
    found = notes([twice, line(10, "k/1", "tick-ends"), twice])
    assert [(note.ns, note.task) for note in found] == [(10, "k/1"), (20, "a b/7")]


def test_both_logs_are_in_one_order() -> None:
    events: list[dict[str, Any]] = [
        {"ph": "M", "tid": 1, "name": "thread_name", "args": {"name": "AS 1"}},
        {"ph": "i", "tid": 1, "ts": 100.0, "name": "TIMESTAMP is 0", "args": {"us": 100.0, "hz": HZ}},
        {"ph": "B", "tid": 1, "ts": 1102.0, "name": "LOCK"},
        {"ph": "E", "tid": 1, "ts": 1104.0},
        {"ph": "C", "tid": 1, "ts": 1105.0, "name": "a counter"},
    ]
    log = [reading(0, 62_500, 0), line(1_000, "a/1", "first"), line(3_000, "a/1", "second")]  # 0 is 1100 us
    rows, clock = timeline(log, events)
    assert (clock.us, clock.error) == (1100, 0)
    assert [row.what for row in rows] == ["TIMESTAMP is 0", "first 0 0", "LOCK {", "second 0 0", "} LOCK"]


def test_a_trace_that_does_not_tell_its_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="TIMESTAMP"):
        timeline([reading(0, 0, 0)], [])


def test_a_flush_is_robbed_only_while_its_tick_has_not_started() -> None:
    story = [
        line(1, "a/1", "flush-begins"), line(2, "a/1", "barrier-behind-queued-tick", "77"),
        line(3, "k/9", "TICK-TAKEN-FROM-BEFORE-ITS-BARRIER"), line(4, "k/9", "tick-queued-by", "queue_run_job"),
        line(5, "a/1", "flush-returns"), line(6, "a/1", "unmaps-begin", "1"),
        line(11, "b/2", "flush-begins"), line(12, "b/2", "barrier-behind-queued-tick", "78"),
        line(13, "k/9", "tick-starts"),
        line(14, "k/9", "TICK-TAKEN-FROM-BEFORE-ITS-BARRIER"), line(15, "k/9", "tick-queued-by", "tick_work"),
        line(16, "b/2", "unmaps-begin", "0"),
        line(21, "c/3", "flush-begins"), line(22, "c/3", "barrier-behind-running-tick", "79"),
        line(23, "k/9", "TICK-TAKEN-FROM-BEFORE-ITS-BARRIER"), line(24, "c/3", "unmaps-begin", "0"),
        line(31, "d/4", "unmaps-begin", "1"), line(41, "e/5", "flush-begins"), line(42, "e/5", "unmaps-begin", "0"),
    ]  # fmt: skip
    ends, thieves = flushes(notes(story))
    assert ends == {
        (ROBBED, True): 1, ("behind a queued tick", False): 1, ("behind a running tick", False): 1,
        ("nothing was queued", False): 1,
    }  # fmt: skip
    assert thieves == {"queue_run_job": 1, "tick_work": 1}
