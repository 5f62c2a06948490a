# SPDX-License-Identifier: GPL-2.0-or-later
"""Places of the driver that an exploration is asked about: what ran of them, and what is no place."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.coverage.lines import Executed
from panthorlab.coverage.model import DRIVER, Function
from panthorlab.errors import UsageError
from panthorlab.run.explore.places import Ran, ran_at
from panthorlab.run.explore.tally import Explored
from panthorlab.run.explore.tell import Aimed, tell

SCHED, HEAP = f"{DRIVER}panthor_sched.c", f"{DRIVER}panthor_heap.c"
LINES: Mapping[str, Mapping[int, int]] = {SCHED: {10: 3, 11: 0, 12: 2, 20: 0, 22: 0}, HEAP: {10: 1}}
RAN = Executed(LINES, {Function("tick_work", SCHED, 9, ()): 3, Function("group_term", SCHED, 19, ()): 0})


def test_of_a_function_and_of_lines_it_is_told_which_ran() -> None:
    tick, never, some, one = ran_at(
        ["tick_work", "group_term", "panthor_sched.c:11-20", "drivers/gpu/drm/panthor/panthor_heap.c:10"], RAN
    )
    assert str(tick) == "tick_work: 2 of 3 lines ran; never: panthor_sched.c:11"
    assert (str(never), never.reached) == ("group_term: none of its 2 lines ran", False)
    assert (some.lines, some.never, some.reached) == (3, (11, 20), True)
    assert str(one) == "drivers/gpu/drm/panthor/panthor_heap.c:10: 1 of 1 lines ran"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("tick_wrk", "no such function"),
        ("panthor_sched.c:13-19", "there is no code"),
        ("panthor_shed.c:10", "no file"),
        ("panthor_sched.c:", "no such function"),
        ("", "no such function"),
    ],
)
def test_what_the_driver_does_not_have_is_no_place(place: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as told:
        ran_at([place], RAN)
    assert told.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        (ran,) = ran_at([text], RAN)
    except UsageError:
        return
    assert 0 <= len(ran.never) <= ran.lines


@pytest.mark.parametrize(
    ("ran", "status", "told"),
    [
        ((), 0, "nothing was found: not seen in 0 iterations"),
        ((Ran("tick_work", "panthor_sched.c", 3, (11,)),), 0, "in which these lines ran"),
        ((Ran("group_term", "panthor_sched.c", 2, (20, 22)),), 4, "not tried: group_term never ran"),
    ],
)
def test_a_place_that_was_never_reached_is_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: tuple[Ran, ...], status: int, told: str
) -> None:
    tally = Explored(tmp_path, [])
    cast(Any, tally).workloads["w"] = SimpleNamespace(
        orders=SimpleNamespace(samples=5, distinct=4, points=list, state="s", unseen=0.0),
        contexts=SimpleNamespace(samples=5, distinct=4, points=list, state="s", unseen=0.0),
    )
    options = argparse.Namespace(json=False, strategy=None)
    kernel = cast(Any, SimpleNamespace(key="k"))
    tally.as_json = dict  # type: ignore[method-assign]
    assert tell(options, tmp_path, kernel, tally, [], Aimed({}, None), ran) == status
    assert told.replace("0 iterations", "5 iterations") in capsys.readouterr().out
