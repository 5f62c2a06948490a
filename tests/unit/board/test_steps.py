# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps of a boot: every one is told, with when it began, how long it took, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.steps import Step, StepName, Steps
from panthorlab.errors import BootError, EvidenceError, LabError, UsageError
from panthorlab.outcome import Outcome


def test_a_step_that_is_well() -> None:
    told: list[Step] = []
    before = time.time()
    with Steps(told.append)(StepName.POWER):
        assert not told, "it is told when it ends"
    (step,) = told
    assert (step.name, step.outcome, step.message) == (StepName.POWER, Outcome.PASS, "")
    assert before - 0.01 <= step.begin <= step.end <= time.time() + 0.01


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (BootError("kernel panic: x\nand its splat"), Outcome.FAIL, "kernel panic: x"),
        (LabError("no power"), Outcome.ERROR, "no power"),
        (EvidenceError("another kernel"), Outcome.ERROR, "another kernel"),
        (UsageError("no such thing"), Outcome.ERROR, "no such thing"),
        (KeyboardInterrupt(), Outcome.ERROR, "KeyboardInterrupt"),
    ],
)
def test_a_step_that_fails_says_why_and_the_error_goes_on(error: BaseException, outcome: Outcome, message: str) -> None:
    told: list[Step] = []
    with pytest.raises(type(error)), Steps(told.append)(StepName.SHELL):
        raise error
    assert [(step.name, step.outcome, step.message) for step in told] == [(StepName.SHELL, outcome, message)]


def _fail() -> None:
    raise BootError("silent")


@pytest.mark.parametrize(
    ("seen", "work", "wanted"),
    [
        (True, lambda: None, [("handover", "PASS"), ("shell", "PASS")]),
        (True, _fail, [("handover", "PASS"), ("shell", "FAIL")]),
        (False, _fail, [("handover", "FAIL")]),
        (False, lambda: None, [("handover", "PASS"), ("shell", "PASS")]),
    ],
)
def test_what_is_known_only_afterwards(seen: bool, work: Callable[[], None], wanted: list[tuple[str, str]]) -> None:
    told: list[Step] = []
    first: list[float] = []
    try:
        with Steps(told.append).split(StepName.HANDOVER, StepName.SHELL, lambda: first[0] if first else None):
            if seen:
                first.append(time.monotonic())
            work()
    except BootError:
        assert work is _fail
    assert [(step.name, step.outcome) for step in told] == wanted


@given(st.floats(-1e6, 1e6))
def test_steps_never_take_less_than_no_time_and_meet(offset: float) -> None:
    told: list[Step] = []
    with Steps(told.append).split(StepName.HANDOVER, StepName.SHELL, lambda: time.monotonic() + offset):
        pass
    first, second = told
    assert first.seconds >= 0
    assert second.seconds >= 0
    assert first.end == pytest.approx(second.begin, abs=0.01)
