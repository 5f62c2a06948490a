# SPDX-License-Identifier: GPL-2.0-or-later
"""Where an iteration lies among the instructions, how calls nest, and where a guest is stopped before a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.calls import LOG_WRITE, CodePlace
from panthorlab.errors import LabError
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.passed import CpuHeld, Passed
from panthorlab.kmsg.records import LogRecord, parse_line
from panthorlab.run.drivercalls import Span, calls, render, span_of, stop_before

STACK = 1 << 14
WRITE = 0x9000
PLACES = {
    0x1000: CodePlace("open", enters=True),
    0x1010: CodePlace("open", leaves=True),
    0x2000: CodePlace("tick", enters=True),
    0x2010: CodePlace("tick", leaves=True),
    0x3000: CodePlace("nothing", enters=True, leaves=True),
    WRITE: CodePlace(LOG_WRITE, enters=True),
    WRITE + 8: CodePlace(LOG_WRITE, leaves=True),
}


def names(*passed: Passed | CpuHeld) -> list[tuple[int, int, str]]:
    return [(call.stack, call.depth, call.name) for call in calls(passed, PLACES, STACK)]


def at(count: int, address: int, stack: int = 0x7F00) -> Passed:
    return Passed(count, address, stack)


def test_a_call_within_another_is_deeper_and_one_after_it_is_not() -> None:
    inner = at(2, 0x2000, 0x7E00), at(3, 0x2010, 0x7E00)
    assert names(at(1, 0x1000), *inner, *inner, at(9, 0x1010), at(10, 0x2000, 0x7C00)) == [
        (1, 0, "open"), (1, 1, "tick"), (1, 1, "tick"), (1, 0, "tick"),
    ]  # fmt: skip


def test_a_function_that_was_left_otherwise_does_not_stay_open() -> None:
    assert names(at(1, 0x1000), at(2, 0x2000)) == [(1, 0, "open"), (1, 0, "tick")]


def test_a_jump_to_another_function_takes_its_place() -> None:
    assert names(at(1, 0x1000), at(2, 0x1010), at(3, 0x2000), at(4, 0x3000, 0x7D00)) == [
        (1, 0, "open"), (1, 0, "tick"), (1, 1, "nothing"),
    ]  # fmt: skip


def test_a_function_of_one_instruction_is_left_at_once() -> None:
    assert names(at(1, 0x3000), at(2, 0x2000, 0x7D00)) == [(1, 0, "nothing"), (1, 0, "tick")]


def test_stacks_nest_by_themselves() -> None:
    other = 0x7F00 + 4 * STACK
    mixed = at(1, 0x1000), at(2, 0x2000, other), CpuHeld(5, 0, 1), at(6, 0x3000, 0x7D00), at(7, 0x3000, other - 9)
    assert names(*mixed) == [
        (1, 0, "open"), (2, 0, "tick"), (1, 1, "nothing"), (2, 1, "nothing"),
    ]  # fmt: skip
    top = 5 * STACK  # where nothing has been pushed yet, the pointer is behind the stack
    assert [stack for stack, _, _ in names(at(1, 0x1000, top), at(2, 0x2000, top - 16))] == [1, 1]


# -- the iteration -------------------------------------------------------------------------------------------------

LOG = b"""6,0,0,-;Booting Linux
12,1,900000,-;panthorlab-init: started
6,2,900100,-;[drm] panthor says panthorlab: begin id=a1.1.1-1 workload=x
14,3,1000000,-;panthorlab: begin id=a1.1.1-1 workload=heap-exit/exit boot=x
14,4,1100000,-;panthorlab: end id=a1.1.1-1
14,5,1200000,-;panthorlab: begin id=a1.1.1-11 workload=heap-exit/exit boot=x
14,6,1300000,-;panthorlab: end id=a1.1.1-11
"""


def log(text: bytes = LOG) -> list[LogRecord]:
    return [record for number, line in enumerate(text.splitlines(), 1) for record in parse_line(line, number)]


WRITES = [at(1000 * n, WRITE) for n in range(1, 6)]


def test_markers_are_found_by_who_wrote_them() -> None:
    span = span_of("a1.1.1-1", log(), [*WRITES, at(6000, 0x1000), CpuHeld(7000, 0, 1)], PLACES)
    assert (span.begin, span.end) == (2000, 3000)
    assert span.ahead == pytest.approx(2000 * INSTRUCTION_SECONDS - 1.0)
    assert abs(span.count_at(1.0) - 2000) <= 1
    assert span_of("a1.1.1-11", log(), WRITES, PLACES).begin == 4000


@pytest.mark.parametrize("iteration", ["a1.1.1-2", "a1.1.1-111", "b"])
def test_an_iteration_that_is_not_in_the_log_is_an_error(iteration: str) -> None:
    with pytest.raises(LabError, match="no markers"):
        span_of(iteration, log(), WRITES, PLACES)


def test_messages_that_nobody_wrote_are_an_error() -> None:
    with pytest.raises(LabError, match="5 messages of programs, and 4 were written"):
        span_of("a1.1.1-1", log(), WRITES[:4], PLACES)


def test_only_calls_of_the_iteration_are_told() -> None:
    span = Span(100, 200, 0.5)
    lines = list(render("i", span, calls([at(n, 0x1000) for n in (99, 100, 199, 200)], PLACES, STACK)))
    assert [line.split() for line in lines if not line.startswith("#")] == [
        ["100", "0.000000800", "#1", "open"], ["199", "0.000001592", "#1", "open"],
    ]  # fmt: skip
    assert "0.500000 s behind" in lines[1]


# -- where to stop -------------------------------------------------------------------------------------------------

HELD = [CpuHeld(count, 0x5000 + count, 4) for count in (90, 110, 130, 150, 170, 190)]


@pytest.mark.parametrize(
    ("faults", "timestamp", "expected"),
    [
        ([90, 150, 170], None, (150, True)),  # the first in the iteration, not one before it
        ([150], 190 * INSTRUCTION_SECONDS, (150, True)),
        ([155], None, (150, False)),  # at a register access: the CPU was not held for it
        ([90], 1e-6 + 160 * INSTRUCTION_SECONDS, (150, False)),  # the kernel's message alone is known
    ],
)
def test_it_stops_where_the_fault_comes_or_at_the_last_event_before(
    faults: list[int], timestamp: float | None, expected: tuple[int, bool]
) -> None:
    held, exact = stop_before(HELD, Span(100, 200, 0.0), faults, timestamp)
    assert (held.count, exact) == expected
    assert held.before == held.count - 4


@pytest.mark.parametrize(("faults", "timestamp"), [([], None), ([105], None), ([90], None), ([250], None)])
def test_where_nothing_is_known_it_says_so(faults: list[int], timestamp: float | None) -> None:
    with pytest.raises(LabError, match="nothing is known"):
        stop_before(HELD, Span(100, 200, 0.0), faults, timestamp)


@given(st.lists(st.tuples(st.sampled_from(sorted(PLACES)), st.integers(1, 8 * STACK)), max_size=40))
def test_any_order_of_places_gives_calls_that_do_not_nest_deeper_than_they_were_entered(
    passed: list[tuple[int, int]],
) -> None:
    entered = [Passed(n, *one) for n, one in enumerate(passed)]
    found = list(calls(entered, PLACES, STACK))
    assert [call.count for call in found] == [
        one.count for one in entered if PLACES[one.address].enters and one.address != WRITE
    ]
    assert all(0 <= call.depth <= number for number, call in enumerate(found))
