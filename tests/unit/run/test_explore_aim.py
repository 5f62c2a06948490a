# SPDX-License-Identifier: GPL-2.0-or-later
"""Where strategy aimed moves the GPU's events, the points between which it does, and whether they came there."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.board import Board
from panthorlab.board.calls import LOG_WRITE, CodePlace, DriverCode
from panthorlab.errors import LabError, UsageError
from panthorlab.gpu.exact.passed import FILE, BlockBegin, CpuHeld, Passed
from panthorlab.gpu.latency import Override
from panthorlab.gpu.pci import mark_of
from panthorlab.kernel.symbols import FunctionSymbol
from panthorlab.outcome import Outcome
from panthorlab.run.arms import Arm
from panthorlab.run.explore.aim import (
    INSTRUCTION_NS,
    MOST_LATE,
    NEAREST_NS,
    NOWHERE,
    REACH_NS,
    Aim,
    LateRun,
    block_aims,
    gap_aims,
    late,
    places,
)
from panthorlab.run.explore.course import Course, FunctionCall, course_of
from panthorlab.run.explore.dry import DryRun, aims_at_blocks, aims_at_gaps
from panthorlab.run.explore.finding import DEFAULT_NS, reached
from panthorlab.run.explore.orders import Drawn, Interleaving
from panthorlab.run.explore.plan import Schedule, late_runs
from panthorlab.run.explore.points import point, span
from panthorlab.run.explore.strategies import AIMED
from panthorlab.run.explore.tally import Explored
from panthorlab.run.explore.trials import Trials
from panthorlab.run.job import Job
from panthorlab.run.record import Iteration, Settings
from panthorlab.run.record.codec import encode

from .recorded import typed

END = 500_000


def interleaving(texts: Iterable[str] = (), latencies: Iterable[Drawn] = (), step: int = 5_000) -> Interleaving:
    events = tuple((text, step * turn) for turn, text in enumerate(texts, 1))
    return Interleaving(1, 5, 0, END, "d", events, tuple(latencies))


def blocks(*begun: tuple[int, int, int]) -> Course:
    return Course([BlockBegin(*one) for one in begun], [])


# -- register accesses, where blocks are not known -----------------------------------------------------------------


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=30, unique=True), st.integers(0, 1500), st.integers(0, 99))
def test_an_aim_is_between_two_accesses_and_each_place_is_aimed_at(counts: list[int], at: int, seed: int) -> None:
    events = tuple(("W A" if turn % 3 else "I job", 200 * count) for turn, count in enumerate(sorted(counts)))
    event = Drawn("irq job", 1, DEFAULT_NS, 200 * at)
    dry = Interleaving(1, 5, 0, END, "d", events, (event,))
    accesses = [count for text, count in events if text == "W A"]
    found = gap_aims(dry, seed=seed)
    hit = set()
    for aim in found:
        lands = event.count + aim.ns // INSTRUCTION_NS
        assert aim.ns <= REACH_NS
        hit.add(next(turn for turn, (one, two) in enumerate(pairwise(accesses)) if one < lands < two))
    far = [((one + two) // 2 - event.count) * INSTRUCTION_NS for one, two in places(dry)]
    reachable = {turn for turn, ns in enumerate(far) if NEAREST_NS <= ns <= REACH_NS}
    own = event.count + DEFAULT_NS // INSTRUCTION_NS
    home = {turn for turn, (one, two) in enumerate(pairwise(accesses)) if one <= own <= two}
    assert hit == reachable - home
    assert gap_aims(dry, seed=seed) == found


def test_aims_lie_between_the_two_events_that_are_named() -> None:
    dry = interleaving(["W A", "R B"] * 20, [Drawn("irq job", 1, DEFAULT_NS, 0)])
    ends = span(dry, None, "W A:3", "R B:6")
    assert ends == (25_000, 60_000)
    found = gap_aims(dry, seed=1, between=ends)
    assert sorted(one.ns // INSTRUCTION_NS for one in found) == [27_500 + 5_000 * turn for turn in range(7)]


# -- blocks of the driver ------------------------------------------------------------------------------------------

COURSES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3000)), max_size=60)
RUNS = st.lists(
    st.tuples(st.sampled_from(["irq job", "irq gpu", "slice x"]), st.integers(0, 60_000), COURSES), max_size=5
)
REACH = REACH_NS // INSTRUCTION_NS


def course_with(begun: Sequence[tuple[int, int, int]]) -> Course:
    """From the instructions of each block, its number among the driver's, and the instructions of other code behind."""
    made, count = [], 100
    for instructions, number, others in begun:
        made.append(BlockBegin(count, 0x1000 * number, instructions))
        count += instructions + others
    return Course(made, [])


def late_run(number: int, count: int, course: Course, kind: str = "irq job", texts: Iterable[str] = ()) -> LateRun:
    return LateRun(kind, number, interleaving(texts, [Drawn(kind, number, REACH_NS, count)]), course)


def test_each_event_is_late_once_but_no_turn_of_a_cpu() -> None:
    drawn = [Drawn(kind, 1, DEFAULT_NS, 7) for kind in ("irq job", "turn", "slice x")]
    events = late(interleaving((), drawn), seed=1)
    assert events == [Aim(kind, 1, REACH_NS, NOWHERE) for kind in ("irq job", "slice x")]
    assert late(interleaving((), drawn), seed=1, kinds=("slice",)) == [Aim("slice x", 1, REACH_NS, NOWHERE)]
    (portion,) = late_runs("w", 1, events)
    assert (portion.dry, portion.count, portion.params["exact.calls"]) == (True, 2, "blocks")
    assert portion.params["exact.override"] == "1/irq job/1=3000.000,2/slice x/1=3000.000"
    assert portion.params["exact.target"] == "1/irq job/1=1:1,2/slice x/1=1:1"
    assert portion.after(1).params["exact.target"] == "1/slice x/1=1:1"
    assert portion.after(1).count == 2


@given(st.lists(st.sampled_from(["irq job"] * 8 + ["slice x", "irq gpu"]), max_size=200), st.integers(0, 9))
def test_of_many_events_some_of_each_kind_are_late_in_their_order(kinds: list[str], seed: int) -> None:
    drawn = [Drawn(kind, turn, DEFAULT_NS, turn) for turn, kind in enumerate(kinds, 1)]
    found = late(interleaving((), drawn), seed=seed)
    numbers = [one.number for one in found]
    assert numbers == sorted(set(numbers))
    assert len(found) == min(len(kinds), MOST_LATE)
    there, chosen = Counter(kinds), Counter(one.kind for one in found)
    for kind in there:
        left_out = chosen[kind] < there[kind]
        assert not left_out or chosen[kind] >= max(chosen.values()) - 1
    portions = late_runs("w", 1, found)
    assert [aim for portion in portions for aim in portion.aims] == found


def test_only_events_that_can_come_between_are_late() -> None:
    counts = (100, 50_000, 50_000 + REACH, 99_999 + REACH, 100_000 + REACH)
    drawn = [Drawn("irq job", turn, DEFAULT_NS, count) for turn, count in enumerate(counts, 1)]
    found = late(interleaving((), drawn), seed=1, between=(50_000 + REACH, 99_999 + REACH))
    assert [one.number for one in found] == [2, 3, 4]


@given(RUNS, st.integers(0, 9))
def test_each_event_comes_to_each_block_that_begins_while_it_is_late_and_to_none_twice(
    wanted: list[tuple[str, int, list[tuple[int, int, int]]]], seed: int
) -> None:
    runs = [late_run(turn, count, course_with(begun), kind) for turn, (kind, count, begun) in enumerate(wanted, 1)]
    found = block_aims(runs, seed=seed)
    expected = set()
    for run, (_, count, _) in zip(runs, wanted, strict=True):
        for block in run.course.blocks:
            if count <= block.count < count + REACH:
                expected.add((run.kind, run.number, block.address))
    assert len(found) == len(expected)
    assert {(one.kind, one.number, one.address) for one in found} == expected
    assert all((one.ns, one.begins) == (REACH_NS, 1) for one in found)
    assert block_aims(runs, seed=seed) == found


@given(RUNS)
def test_no_pair_of_kind_and_block_comes_again_before_all_have_come(
    wanted: list[tuple[str, int, list[tuple[int, int, int]]]],
) -> None:
    runs = [late_run(turn, count, course_with(begun), kind) for turn, (kind, count, begun) in enumerate(wanted, 1)]
    rounds = Counter[tuple[str, int | None]]()
    turns = []
    for pair in [(one.kind, one.address) for one in block_aims(runs, seed=3)]:
        turns.append(rounds[pair])
        rounds[pair] += 1
    assert turns == sorted(turns)


def test_a_loop_is_aimed_at_once_and_only_what_lies_between() -> None:
    loop = [(count, 0x2000, 4) for count in range(11_980, 12_400, 40)]
    course = blocks((500, 0x1000, 4), *loop, (20_000, 0x3000, 4), (20_100, 0x1000, 4), (1_000 + REACH, 0x4000, 4))
    run = late_run(1, 1_000, course, texts=["W A", "R B", "W A", "R B"])
    found = block_aims([run], seed=1)
    assert {(one.address, one.begins) for one in found} == {(0x1000, 1), (0x2000, 1), (0x3000, 1)}
    with_calls = replace(run, course=replace(course, calls=CALLS.calls))
    assert block_aims([with_calls], seed=1, between=("tick_work:4", "R B:2")) == []
    assert block_aims([with_calls], seed=1, between=("tick_work:3", "R B:2")) == []
    part = block_aims([with_calls], seed=1, between=(VM, f"{VM}:end"))
    assert {(one.address, one.begins) for one in part} == {(0x2000, 2)}
    to_its_end = block_aims([run], seed=1, between=("R B:2", "I job"))
    assert {one.address for one in to_its_end} == {0x1000, 0x3000}
    assert block_aims([replace(run, number=2)], seed=1) == []


# -- what the driver did -------------------------------------------------------------------------------------------

PLACES = {
    0x1000: CodePlace("panthor_vm_destroy", enters=True),
    0x1010: CodePlace("panthor_vm_destroy", leaves=True),
    0x2000: CodePlace("tick_work.isra.0", enters=True),
    0x2010: CodePlace("tick_work.isra.0", leaves=True),
    0x2F00: CodePlace("tick_work.isra.0.cold", leaves=True),
    0x9000: CodePlace(LOG_WRITE, enters=True),
}


def test_the_course_of_an_iteration_is_its_own_blocks_and_calls() -> None:
    written: list[Passed | CpuHeld | BlockBegin] = [
        Passed(50, 0x1000, 8), Passed(60, 0x1010, 8), BlockBegin(99, 0x1000, 4),  # before it
        BlockBegin(100, 0x1000, 4), Passed(100, 0x1000, 8), CpuHeld(110, 0x1004, 3), Passed(120, 0x9000, 8),
        Passed(130, 0x2000, 16), Passed(131, 0x2000, 4), Passed(140, 0x2F00, 4), BlockBegin(150, 0x2000, 4),
        Passed(155, 0x1010, 8), Passed(160, 0x1010, 8), Passed(170, 0x2000, 32), BlockBegin(201, 0x2000, 4),
    ]  # fmt: skip
    course = course_of(written, replace(interleaving(), begin=100, end=200), PLACES)
    assert course.blocks == [BlockBegin(100, 0x1000, 4), BlockBegin(150, 0x2000, 4)]
    assert course.calls == [
        FunctionCall("panthor_vm_destroy", 100, 155),
        FunctionCall("tick_work.isra.0", 130, None),
        FunctionCall("tick_work.isra.0", 131, 140),
        FunctionCall("tick_work.isra.0", 170, None),
    ]


VM = "panthor_vm_destroy"
CALLS = Course([], [
    FunctionCall("tick_work.isra.0", 1_000, 2_000), FunctionCall(VM, 12_000, 14_000),
    FunctionCall("tick_work.isra.0", 13_000, None), FunctionCall("tick_work.isra.0", 21_000, 23_000),
])  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("panthor_vm_destroy", "tick_work:end", (12_000, 23_000)),
        ("panthor_vm_destroy", "panthor_vm_destroy:end", (12_000, 14_000)),
        ("tick_work", "tick_work", (1_000, 1_000)),
        ("tick_work:3", "tick_work:2:end", (21_000, 23_000)),
        ("tick_work.isra.0:2", "I job", (13_000, 30_000)),
        ("W A:2", "W A", (15_000, 15_000)),
        ("W A", "tick_work", (5_000, 13_000)),
    ],
)
def test_points_are_calls_and_events_and_the_second_is_after_the_first(
    first: str, second: str, expected: tuple[int, int]
) -> None:
    dry = interleaving(["W A", "I job", "W A", "W A", "R B", "I job"])
    assert span(dry, CALLS, first, second) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("W A:21", "no event", "it has 3 of them"),
        ("W A:0", "no event", "it has 3 of them"),
        ("W AA", "no event", "W A"),
        ("W 7", "no event", ""),
        ("I job:end", "an event has no end", "tick_work:end"),
        ("tick_wrk", "no call of a function", "tick_work"),
        ("xyzzy", "no call of a function", "put into others"),
        ("tick_work:3:end", "no end of a call", "it has 2 of them"),
    ],
)
def test_a_point_that_is_not_there_is_told_with_what_is(text: str, message: str, hint: str) -> None:
    dry = interleaving(["W A", "R B"] * 3)
    with pytest.raises(UsageError, match=message) as told:
        point(dry, CALLS, text)
    assert hint in (told.value.hint or "")


def test_points_that_cannot_be_are_refused() -> None:
    dry = interleaving(["W A", "R B"] * 3)
    with pytest.raises(UsageError, match="comes before"):
        span(dry, CALLS, "panthor_vm_destroy", "tick_work:1")
    with pytest.raises(UsageError, match="comes before"):
        span(dry, CALLS, "R B:3", "W A")
    with pytest.raises(UsageError, match="are not known"):
        point(dry, None, "tick_work")


@given(st.text(max_size=20))
def test_any_text_is_a_point_or_refused(text: str) -> None:
    with pytest.raises(UsageError):
        point(interleaving(["W A"]), Course([], []), text if text != "W A" else "")


# -- whether it came there -----------------------------------------------------------------------------------------


def record(*held: CpuHeld) -> bytes:
    return b"".join(struct.pack("=QQQ", one.count, one.address | 1, one.instructions) for one in held)


def test_hits_and_misses_are_told_apart_by_where_the_cpu_was_held(tmp_path: Path) -> None:
    """Of one boot, four iterations: hit; in other code; the event has not come; what it was held for is unknown."""
    wanted = [Aim("irq job", turn, REACH_NS, 0x1000) for turn in (1, 2, 3, 4)]
    boot = tmp_path / "boots" / "k1.1"
    boot.mkdir(parents=True)
    lines = [
        {"window": turn, "mark": mark_of(f"k1.1.1-{turn}"), "begin": 0, "end": 9, "digest": "d", "events": [],
         "latencies": [["irq job", turn, 8_000, 10_000 * turn]] if turn != 3 else []}
        for turn in (1, 2, 3, 4)
    ]  # fmt: skip
    (boot / "gpu-orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    at = (11_004, 0x1000, 8), (21_000, 0x7000, 2), (31_000, 0x1000, 2), (41_005, 0x1000, 5)
    (boot / FILE).write_bytes(record(*(CpuHeld(*one) for one in at)))
    portion = Schedule({"w": interleaving()}, [AIMED], 1, 1, aims={"w": wanted}).portion(1)
    job = Job(board="b", kernel="k", arm="k", slot="k1", boot="k1.1", index=0, boots=1, run_dir="r", log_dir="l",
              suites=("s",), iterations=4, seed=9, params=portion.params)  # fmt: skip
    (boot / "job.json").write_text(json.dumps(encode(job)))
    tally = Explored(tmp_path, [])
    for turn in (1, 2, 3, 4):
        (event,) = typed([{"event": "iteration", "boot": "k1.1", "id": f"k1.1.1-{turn}", "workload": "w",
                           "outcome": Outcome.PASS.value}])  # fmt: skip
        tally.event(cast(Iteration, event), portion)
    hits = tally.hits["w"]
    assert (hits.hit, hits.missed, hits.pairs) == (1, 3, {("irq job", 0x1000)})
    more = [*wanted, Aim("slice x", 1, REACH_NS, 0x1000), Aim("irq job", 1, REACH_NS, 0x2000)]
    assert hits.of(more) == {
        "aims": 6, "hit": 1, "missed": 3, "blocks": 2, "blocks_hit": 1, "pairs": 3, "pairs_hit": 1,
    }  # fmt: skip
    late_ones = Explored(tmp_path, [])
    late_ones.event(cast(Iteration, event), replace(portion, dry=True))
    assert (late_ones.hits, late_ones.seeds) == ({}, 0)


# -- from boots to aims, and back to a command ----------------------------------------------------------------------

CODE = DriverCode(PLACES, [FunctionSymbol(0x1000, "panthor_vm_destroy", "panthor_mmu.c", bytes(0x20)),
                           FunctionSymbol(0x2000, "tick_work.isra.0", "panthor_sched.c", bytes(0x40))])  # fmt: skip


def test_a_place_of_the_driver_has_a_name_and_other_code_has_none() -> None:
    assert list(CODE.bounds) == [0x1000, 0x1020, 0x2000, 0x2040]
    assert [CODE.name(at) for at in (0x1000, 0x101C, 0x2004)] == [
        "panthor_vm_destroy+0x0", "panthor_vm_destroy+0x1c", "tick_work.isra.0+0x4",
    ]  # fmt: skip
    for at in (0xFFC, 0x1020, 0x2040):
        with pytest.raises(KeyError):
            CODE.name(at)


def boot_of(
    folder: Path, params: Mapping[str, str], runs: Sequence[Interleaving], words: Sequence[int]
) -> Sequence[DryRun]:
    folder.mkdir(parents=True)
    job = Job(board="b", kernel="k", arm="k", slot="k1", boot="k1.1", index=0, boots=1, run_dir="r", log_dir="l",
              suites=("s",), iterations=4, seed=9, params=params)  # fmt: skip
    (folder / "job.json").write_text(json.dumps(encode(job)))
    (folder / FILE).write_bytes(struct.pack(f"={len(words)}Q", *words))
    return [DryRun(folder, one) for one in runs]


def test_late_iterations_become_aims_and_without_any_it_is_an_error(tmp_path: Path) -> None:
    events = [Drawn("irq job", 1, REACH_NS, 1_000), Drawn("slice x", 1, REACH_NS, 100_000)]
    dry = interleaving((), events)
    first, second = (replace(dry, window=turn, begin=END * (turn - 1), end=END * turn) for turn in (1, 2))
    second = replace(second, latencies=tuple(replace(one, count=END + one.count) for one in events))
    late_ones = late(dry, seed=1)
    (portion,) = late_runs("w", 1, late_ones)
    words = [
        500,
        0x1000,
        64,
        2_000,
        0x1000 | 2,
        4,
        3_000,
        0x2004 | 2,
        4,
        END + 200_000,
        0x2008 | 2,
        4,
        END * 3,
        0x2 | 2,
        4,
    ]
    made = boot_of(tmp_path / "late", portion.params, [first, second], words)
    plain = boot_of(tmp_path / "dry", {}, [dry], [])[0]
    found = aims_at_blocks({"w": late_ones}, {"w": made}, CODE, 1, None)
    assert set(found["w"]) == {
        Aim("irq job", 1, REACH_NS, 0x1000), Aim("irq job", 1, REACH_NS, 0x2004), Aim("slice x", 1, REACH_NS, 0x2008),
    }  # fmt: skip
    part = aims_at_blocks({"w": late_ones}, {"w": made}, CODE, 1, ("panthor_vm_destroy", "I job"))
    assert {one.address for one in part["w"]} == {0x1000, 0x2004}
    for others in ({}, {"w": [plain]}):
        with pytest.raises(LabError, match="no iteration of w shows"):
            aims_at_blocks({"w": late_ones}, others, CODE, 1, None)
    with pytest.raises(UsageError, match="no call of a function"):
        plain.bounds(CODE, ("panthor_vm_destroy", "I job"))
    assert aims_at_gaps({"w": plain}, 1, (), None) == {"w": []}


def test_what_came_before_a_finding_is_told_with_its_targets_and_the_finding_by_its_latencies(tmp_path: Path) -> None:
    aims = [Aim("irq job", turn, REACH_NS, 0x1000) for turn in (1, 2, 3)]
    portion = Schedule({"w": interleaving()}, [AIMED], 1, 1, aims={"w": aims}).portion(1)
    job = Job(board="b", kernel="k", arm="k", slot="k1", boot="k1.1", index=0, boots=1, run_dir="r", log_dir="l",
              suites=("s",), iterations=4, seed=9, params=portion.params)  # fmt: skip
    trials = Trials(tmp_path, replace(job, params={}), cast(Board, None), cast(Arm, None), cast(Settings, None), "w")
    given = [word for word in trials.options((Override(1, "irq job", 3, 16_000),)) if word.startswith("gpu.")]
    assert sorted(given) == [
        "gpu.exact.latency=fixed", "gpu.exact.override=1/irq job/3=16.000", "gpu.exact.vary=iterations",
    ]  # fmt: skip
    given = trials.in_place(job, 2, 3).options((Override(3, "irq job", 3, 16_000),))
    assert "gpu.exact.target=1/irq job/1=1000:1,2/irq job/2=1000:1" in given
    assert "gpu.exact.override=1/irq job/1=3000.000,2/irq job/2=3000.000,3/irq job/3=16.000" in given
    assert not any("orders" in word or "calls" in word for word in given)
    assert "gpu.exact.unreached=allowed" in given, "what was before may be aimed at what did not come"


def test_what_never_came_in_a_run_is_not_asked_for_again() -> None:
    made = interleaving([], [Drawn("irq job", number, DEFAULT_NS + 1, 0) for number in (1, 2)])
    came = [one.override(made.window) for one in made.latencies]
    absent = Override(made.window, "irq job", 99, 1)
    assert reached((*came, absent), made) == tuple(came)
    assert came
    assert reached((absent,), None) == (absent,)


@pytest.mark.parametrize("text", ["tick_work:" + "9" * 5000, "W A:" + "9" * 5000])
def test_a_number_of_a_point_may_be_absurd(text: str) -> None:
    """It is then a part of a name that there is not."""
    with pytest.raises(UsageError):
        point(interleaving(["W A"]), Course([], []), text)
