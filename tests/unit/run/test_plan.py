# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.outcome import Role, Side
from panthorlab.run.plan import (
    MAX_KERNEL_ATTEMPTS,
    MAX_LAB_ATTEMPTS,
    MAX_TEST_ATTEMPTS,
    Slot,
    again_slots,
    extension_slots,
    progress_of,
    remaining,
    schedule,
)
from panthorlab.run.validate import BEFORE_SHARE, SIDES
from panthorlab.run.workload import Workload, share

from .recorded import typed


def test_sides_alternate_abba() -> None:
    assert [slot.name for slot in schedule(SIDES, 3)] == ["before1", "after1", "after2", "before2", "before3", "after3"]


@given(total=st.integers(0, 5000), slots=st.integers(1, 9))
def test_shares_add_up(total: int, slots: int) -> None:
    parts = [share(total, slot, slots) for slot in range(slots)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_an_arm_may_have_a_part_of_the_iterations_of_claims_alone() -> None:
    claim = Workload("a/b", ("a",), iterations=240)
    assert claim.planned(override=None, claims=BEFORE_SHARE) == 80
    assert claim.planned(override=None) == 240
    assert claim.planned(override=2, claims=BEFORE_SHARE) == 1
    watch = Workload("a/c", ("a",), Role.WATCH, iterations=16)
    assert watch.planned(override=1000, claims=BEFORE_SHARE) == 16


def _iteration(number: int, outcome: str = "PASS") -> dict[str, Any]:
    return {"event": "iteration", "slot": "after1", "workload": "w", "id": f"after1.1-{number}", "outcome": outcome}


def _end(complete: bool, outcome: str = "PASS", blame: str | None = None) -> dict[str, Any]:
    return {"event": "boot-end", "slot": "after1", "complete": complete, "outcome": outcome, "blame": blame}


def test_done_iterations_are_kept_and_errors_repeated() -> None:
    events = [{"event": "boot-start", "slot": "after1"}, _iteration(1), _iteration(2, "ERROR"), _iteration(3, "FAIL")]
    state = progress_of(Slot(Side.AFTER, 0), typed(events))
    assert state.done == {"w": 2}
    assert state.attempts == 1
    assert remaining([Slot(Side.AFTER, 0)], typed(events))


def test_lab_failures_are_retried_until_the_limit() -> None:
    slot = Slot(Side.AFTER, 0)
    events = [_end(False, "ERROR", "lab")] * (MAX_LAB_ATTEMPTS - 1)
    assert remaining([slot], typed(events)) == [slot]
    assert remaining([slot], typed([*events, _end(False, "ERROR", "lab")])) == []


def test_what_cannot_help_is_not_tried_again() -> None:
    slot = Slot(Side.AFTER, 0)
    assert remaining([slot], typed([_end(False, "ERROR", "lab") | {"final": True}])) == []
    assert remaining([slot], typed([_end(False, "ERROR", "lab") | {"final": True}, {"event": "resumed"}])) == [slot]


def test_complete_slot_is_done() -> None:
    assert remaining([Slot(Side.AFTER, 0)], typed([_end(True)])) == []


def test_resuming_gives_slots_that_the_lab_failed_another_try_but_not_kernels_that_die() -> None:
    slot = Slot(Side.AFTER, 0)
    lab = [_end(False, "ERROR", "lab")] * MAX_LAB_ATTEMPTS
    kernel = [_end(False, "FAIL", "kernel")] * MAX_KERNEL_ATTEMPTS
    assert remaining([slot], typed([*lab, {"event": "resumed"}])) == [slot]
    assert remaining([slot], typed([*kernel, {"event": "resumed"}])) == []


def _test(name: str, outcome: str = "PASS", *, proof: bool = False) -> dict[str, Any]:
    blame = "kernel" if outcome == "FAIL" else None
    return {
        "event": "test",
        "slot": "after1",
        "suite": "s",
        "test": name,
        "outcome": outcome,
        "blame": blame,
        "message": "",
        "seconds": 1.0,
        "proof": proof,
    }


@given(deaths=st.integers(1, MAX_TEST_ATTEMPTS + 2), order=st.randoms(use_true_random=False))
def test_who_dies_of_a_test_goes_on_with_the_next_one(deaths: int, order: random.Random) -> None:
    """Each death has cost one test; a kernel that dies in iterations, or of nothing, gets no more than it ever got."""
    slot = Slot(Side.AFTER, 0)
    events: list[dict[str, Any]] = []
    for number in range(deaths):
        earlier = [_iteration(number), _test(f"passed{number}")]
        order.shuffle(earlier)
        killed = [*earlier, _test(f"killer{number}", "FAIL"), _end(False, "FAIL", "kernel")]
        events += [{"event": "boot-start", "slot": "after1"}, *killed]
    assert (remaining([slot], typed(events)) == [slot]) == (deaths <= MAX_TEST_ATTEMPTS)


@pytest.mark.parametrize("last", [_iteration(7, "FAIL"), _test("t"), _test("proof", "FAIL", proof=True), None])
def test_a_kernel_that_dies_every_time_is_given_up(last: dict[str, Any] | None) -> None:
    slot = Slot(Side.AFTER, 0)
    boot = [{"event": "boot-start", "slot": "after1"}, _test("killer", "FAIL"), *([last] if last else [])]
    boot = boot if last else boot[:1]
    events = [*boot, _end(False, "FAIL", "kernel")]
    assert remaining([slot], typed(events)) == [slot]
    assert remaining([slot], typed(events * MAX_KERNEL_ATTEMPTS)) == []


def test_what_before_runs_beyond_its_plan_has_slots_of_its_own_on_every_board() -> None:
    def event(boots: int) -> dict[str, Any]:
        return {"event": "extension", "iterations": {"w": 5}, "boots": boots, "why": []}

    assert extension_slots(typed([]), 2) == []
    assert [slot.name for slot in extension_slots(typed([event(0)]), 2)] == ["before3"]
    assert [slot.name for slot in extension_slots(typed([event(5)]), 2)] == [f"before{n}" for n in range(3, 8)]
    two = extension_slots(typed([event(3)]), 2, ("a", "b"))
    assert [(slot.name, slot.board) for slot in two] == [
        ("before5", "a"),
        ("before6", "b"),
        ("before7", "a"),
        ("before8", "b"),
    ]
    assert not {slot.name for slot in two} & {slot.name for slot in schedule(SIDES, 2, ("a", "b"))}


def test_tests_in_doubt_have_boots_of_both_sides_that_are_called_like_no_other() -> None:
    event = {"event": "again", "tests": {"": ["s::t"], "kasan": ["s::u"]}, "why": []}
    assert again_slots(SIDES, typed([])) == []
    slots = again_slots(SIDES, typed([event]))
    assert [slot.name for slot in slots] == [
        "before-again-1",
        "after-again-1",
        "before-again-2",
        "after-again-2",
        "before-kasan-again-1",
        "after-kasan-again-1",
        "before-kasan-again-2",
        "after-kasan-again-2",
    ]
    others = [*schedule(SIDES, 2), *extension_slots(typed([{"event": "extension", "iterations": {}, "boots": 9}]), 2)]
    assert not {slot.name for slot in slots} & {slot.name for slot in others}
    boards = [slot.board for slot in again_slots(SIDES, typed([event]), ("a", "b", "c"))]
    assert boards == ["a", "a", "b", "b", "c", "c"] * 2
