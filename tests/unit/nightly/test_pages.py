# SPDX-License-Identifier: GPL-2.0-or-later
"""What a night is told as: text of others can neither write HTML nor command a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from panthorlab.nightly import page, text
from panthorlab.nightly.model import (
    Culprit,
    Expectation,
    KernelNight,
    NewTrouble,
    Night,
    NightOutcome,
    TreeCommit,
    night_of,
    to_json,
)

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"
KERNEL = KernelNight(
    "linux/master/plain",
    "linux",
    "master",
    "plain",
    "https://example.org/" + EVIL,
    NightOutcome.REGRESSED,
    TreeCommit("1" * 40, EVIL),
    (EVIL,),
    10,
    9,
    1,
    (NewTrouble("signature", EVIL, EVIL, (0, 3), (2, 3), False, EVIL),),
    (Expectation(EVIL, EVIL, EVIL, 1, 2, (0.1, 0.9), 2, (1, 2)),),
    (EVIL,),
    (Culprit(EVIL, (TreeCommit("2" * 40, EVIL),), True, EVIL, (EVIL,), (EVIL,), EVIL, EVIL),),
    "20260101-000000",
    TreeCommit("3" * 40, EVIL),
    kernel=EVIL,
    boards=(EVIL,),
    suites=(EVIL,),
    directory="/" + EVIL,
)
NIGHT = Night("20260102-000000", EVIL, 1_767_312_000.0, 61.0, "/", (KERNEL,), (EVIL,))


def test_hostile_text() -> None:
    made = page.render(NIGHT, [("20260102-000000", 10, 9, 1)])
    assert "<script" not in made
    assert "\x1b" not in made
    shown = text.render(NIGHT, columns=80)
    assert not any(char in shown for char in "\x1b\u202e")
    assert "2" * 12 in shown
    assert "2" * 12 in made
    assert "attempted 10, judged 9, lost 1" in shown


def test_the_json_gives_the_night_back() -> None:
    data = json.loads(json.dumps(to_json(NIGHT)))
    assert night_of(data) == NIGHT
    assert (data["outcome"], data["exit"], data["judged"]) == ("regressed", 1, 9)
    assert data["kernels"][0]["culprit"]["commits"][0]["id"] == "2" * 40


@pytest.mark.parametrize(
    ("outcomes", "outcome", "status"),
    [
        ([], "error", 4),
        (["good", "unchanged"], "unchanged", 0),
        (["good", "inconclusive"], "inconclusive", 3),
        (["regressed", "error"], "error", 4),
        (["failing", "inconclusive"], "inconclusive", 1),
    ],
)
def test_a_night_is_as_bad_as_its_worst_kernel(outcomes: list[str], outcome: str, status: int) -> None:
    kernels = tuple(replace(KERNEL, outcome=NightOutcome(word)) for word in outcomes)
    night = replace(NIGHT, kernels=kernels)
    assert (night.outcome, night.exit) == (outcome, status)


def test_an_unchanged_branch_is_as_good_as_it_was() -> None:
    kernel = replace(KERNEL, outcome=NightOutcome.UNCHANGED, standing=NightOutcome.REGRESSED)
    night = replace(NIGHT, kernels=(kernel,))
    assert (kernel.exit, night.exit, night.outcome) == (1, 1, "regressed")
    shown, made = text.render(night, columns=80), page.render(night, [])
    assert shown.startswith("REGRESSED  ")
    assert re.search(r"regressed \(unchanged\) +linux/master/plain", shown)
    assert "<title>regressed: " in made
    assert re.search(r'<h1><span class="v regressed">regressed</span>', made)
    assert re.search(r'<h2 id="k1"><span class="v regressed">regressed</span> <span class="v unchanged">', made)
    assert to_json(night)["outcome"] == "regressed"


@pytest.mark.parametrize(
    ("standings", "outcome", "status"),
    [
        (["good"], "unchanged", 0),
        (["good", "failing"], "failing", 1),
        (["inconclusive", "good"], "inconclusive", 3),
        (["inconclusive", "failing"], "inconclusive", 1),
        (["regressed", "inconclusive"], "regressed", 1),
    ],
)
def test_a_night_in_which_nothing_is_new_is_as_bad_as_what_stands(
    standings: list[str], outcome: str, status: int
) -> None:
    kernels = tuple(
        replace(KERNEL, outcome=NightOutcome.UNCHANGED, standing=NightOutcome(word), new=()) for word in standings
    )
    night = replace(NIGHT, kernels=kernels)
    assert (night.outcome, night.exit) == (outcome, status)


def test_a_good_branch_that_is_unchanged_says_so_first() -> None:
    kernel = replace(KERNEL, outcome=NightOutcome.UNCHANGED, standing=NightOutcome.GOOD)
    assert "unchanged (good)" in text.render(replace(NIGHT, kernels=(kernel,)), columns=80)
