# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nights held against each other: by the rules of a validation, whose record is made of both runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panthorlab.nightly.judge import joined, judged, symptom_of
from panthorlab.nightly.model import NewTrouble, NightOutcome
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import BootEnd, BootStart, Event, KnownEntry, RunStart
from panthorlab.run.reports import judge
from panthorlab.verdict import Verdict
from tests.made_runs import ALONE, SIGNATURE, MadeRun, events_of_run

GOOD = replace(ALONE, rates={"heap-exit/exit": {"kernel": (0, 300)}, "heap-exit/vm": {"kernel": (0, 300)}})
FAULTY = replace(GOOD, rates={"heap-exit/exit": {"kernel": (10, 300)}, "heap-exit/vm": {"kernel": (0, 300)}})
TEST = "reset::test_reset"


def night(tonight: MadeRun, good: MadeRun | None) -> tuple[NightOutcome, list[tuple[str, bool]]]:
    said = judged(events_of_run(tonight), events_of_run(good) if good else None)
    return said.outcome, [(one.name, one.blamed) for one in said.new]


@pytest.mark.parametrize(
    ("tonight", "good", "outcome", "new"),
    [
        pytest.param(GOOD, None, NightOutcome.GOOD, [], id="first night"),
        pytest.param(FAULTY, None, NightOutcome.FAILING, [], id="first night, faulty"),
        pytest.param(GOOD, GOOD, NightOutcome.GOOD, [], id="as before"),
        pytest.param(FAULTY, GOOD, NightOutcome.REGRESSED, [(SIGNATURE, True)], id="new signature"),
        pytest.param(FAULTY, FAULTY, NightOutcome.FAILING, [], id="it stands"),
        pytest.param(GOOD, FAULTY, NightOutcome.GOOD, [], id="it is gone"),
        pytest.param(
            replace(GOOD, tests={TEST: {"kernel": Outcome.FAIL}}), GOOD, NightOutcome.REGRESSED, [(TEST, True)],
            id="a test fails",
        ),
        pytest.param(
            replace(GOOD, tests={**GOOD.tests, "new::test_new": {"kernel": Outcome.FAIL}}), GOOD,
            NightOutcome.FAILING, [], id="a test that the good night did not have fails",
        ),
        pytest.param(GOOD, replace(GOOD, tests={**GOOD.tests, "old::test_old": {"kernel": Outcome.PASS}}),
                     NightOutcome.GOOD, [], id="a test that this night does not have"),
        pytest.param(replace(GOOD, lost=1), GOOD, NightOutcome.GOOD, [], id="a few are lost"),
        pytest.param(replace(GOOD, lost=60), GOOD, NightOutcome.ERROR, [], id="many are lost"),
        pytest.param(replace(GOOD, lost=60), None, NightOutcome.ERROR, [], id="many are lost in the first night"),
        pytest.param(replace(GOOD, ended=False), GOOD, NightOutcome.ERROR, [], id="it did not come to its end"),
        pytest.param(replace(GOOD, stray=("oops:panthor:null",)), GOOD, NightOutcome.REGRESSED,
                     [("oops:panthor:null", True)], id="an oops outside iterations"),
    ],
)  # fmt: skip
def test_what_a_night_says(
    tonight: MadeRun, good: MadeRun | None, outcome: NightOutcome, new: list[tuple[str, bool]]
) -> None:
    assert night(tonight, good) == (outcome, new)


def test_what_is_too_seldom_to_blame_is_told_and_blamed_on_nobody() -> None:
    few = replace(GOOD, rates={"heap-exit/exit": {"kernel": (1, 300)}}, boots=1)
    good = replace(few, rates={"heap-exit/exit": {"kernel": (0, 20)}})
    assert night(few, good) == (NightOutcome.INCONCLUSIVE, [(SIGNATURE, False)])


def test_a_known_finding_is_nothing_new() -> None:
    watched = MadeRun(rates={}, tests=GOOD.tests, arms=("kernel",), expect=None, stray=("warning:panthor:drm",))
    quiet = replace(watched, stray=())
    assert night(watched, quiet) == (NightOutcome.INCONCLUSIVE, [("warning:panthor:drm", False)])
    tonight = events_of_run(watched)
    start = tonight[0]
    assert isinstance(start, RunStart)
    entry = KnownEntry("boot@warning.*", "fails.txt:1", "")
    tonight[0] = replace(start, options=replace(start.options, known=(entry,)))
    said = judged(tonight, events_of_run(quiet))
    assert (said.outcome, said.new) == (NightOutcome.GOOD, ())


def dead(events: list[Event]) -> list[Event]:
    """The same run, if its kernel had never come up."""
    kept = [event for event in events if not getattr(event, "boot", "") or isinstance(event, BootStart | BootEnd)]
    return [
        replace(event, complete=False, outcome=Outcome.FAIL, blame=Blame.KERNEL, booted=False, reason="no prompt")
        if isinstance(event, BootEnd)
        else event
        for event in kept
    ]


def test_a_kernel_that_does_not_come_up_any_more() -> None:
    said = judged(dead(events_of_run(GOOD)), events_of_run(GOOD))
    assert said.outcome is NightOutcome.REGRESSED
    assert [symptom_of(one) for one in said.new] == ["boot-failed"]
    assert judged(dead(events_of_run(GOOD)), None).outcome is NightOutcome.FAILING


def test_both_nights_are_in_the_comparison_under_names_of_their_own() -> None:
    verdict = judge(joined(events_of_run(FAULTY), events_of_run(FAULTY)))
    assert verdict.verdict is Verdict.NOT_FIXED
    assert verdict.before.faulty == verdict.after.faulty == 20


@pytest.mark.parametrize(
    ("trouble", "symptom"),
    [
        (NewTrouble("signature", SIGNATURE, "heap-exit/exit"), SIGNATURE),
        (NewTrouble("kind", "program-failed", "heap-exit/exit"), "failed:heap-exit/exit"),
        (NewTrouble("kind", "oops", "(boot)"), "oops"),
        (NewTrouble("test", TEST), f"test:{TEST}"),
        (NewTrouble("rate", "heap-exit/exit", "heap-exit/exit"), ""),
        (NewTrouble("build", "build-failed"), ""),
    ],
)
def test_what_a_bisect_searches_for(trouble: NewTrouble, symptom: str) -> None:
    assert symptom_of(trouble) == symptom
