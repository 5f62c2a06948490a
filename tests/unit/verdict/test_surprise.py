# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes that nobody claims are told, with p, and never make a verdict better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict import Expect, Verdict

from .test_compare import Bench, said

NO_CHANGE = {"expect": Expect.NO_CHANGE}


def test_fewer_faults_of_a_watch_are_no_good_news_by_themselves() -> None:
    """A lost interrupt made `clients` fall from 98 to 23 of 320, and nothing was said but `reduced`."""
    bench = Bench().both((0, 240), (0, 240)).both((98, 320), (23, 320), "clients", Role.WATCH)
    judged = bench.judge(**NO_CHANGE)
    assert judged.verdict is Verdict.CLEAN
    (surprise,) = judged.surprises
    assert (surprise.where, surprise.before, surprise.after, surprise.fewer) == ("clients", (98, 320), (23, 320), True)
    assert surprise.p is not None
    assert surprise.p < 0.001
    assert "98/320 before, 23/320 after (p" in surprise.reason


def test_with_a_fix_expected_it_is_told_too_unless_the_claim_itself_is_met() -> None:
    fell = ((98, 320), (23, 320), "clients", Role.WATCH)
    lost = Bench().both((0, 80), (0, 240)).both(*fell).judge()
    assert [found.where for found in lost.surprises] == ["clients"]
    assert lost.verdict is Verdict.INCONCLUSIVE
    assert not Bench().both((79, 80), (0, 240)).both(*fell).judge().surprises


@pytest.mark.parametrize("role", [Role.WATCH, Role.CLAIM])
def test_more_faults_are_a_regression_as_well(role: Role) -> None:
    bench = Bench().both((0, 240), (0, 240)).both((10, 320), (90, 320), "clients", role)
    judged = bench.judge(**NO_CHANGE)
    assert judged.verdict is Verdict.REGRESSED
    assert [(found.where, found.fewer) for found in judged.surprises] == [("clients", False)]


def test_a_claim_that_falls_though_no_change_was_promised_is_one() -> None:
    judged = Bench().both((120, 240), (0, 240)).judge(**NO_CHANGE)
    assert [found.where for found in judged.surprises] == ["exit"]


@pytest.mark.parametrize("after", [98, 90, 75])
def test_chance_is_no_surprise(after: int) -> None:
    bench = Bench().both((0, 240), (0, 240)).both((98, 320), (after, 320), "clients", Role.WATCH)
    assert not bench.judge(**NO_CHANGE).surprises


def test_a_kind_that_nobody_looks_for_and_that_goes_away() -> None:
    bench = Bench().add(Side.AFTER, 0, 240)
    warning: dict[str, Any] = {"kinds": frozenset({"warning"}), "outcome": Outcome.FAIL, "blame": Blame.KERNEL}
    bench.add(Side.BEFORE, 0, 120, **warning).add(Side.BEFORE, 0, 120)
    judged = bench.judge(**NO_CHANGE)
    assert [(found.where, found.what, found.before, found.after) for found in judged.surprises] == [
        ("exit", "warning", (120, 240), (0, 240))
    ]
    assert judged.verdict is Verdict.CLEAN


def test_a_test_that_passes_on_after_alone() -> None:
    bench = Bench().both((0, 240), (0, 240)).test("vm::holes", Outcome.FAIL, Outcome.PASS)
    judged = bench.judge(**NO_CHANGE)
    assert judged.verdict is Verdict.CLEAN
    assert [(found.where, found.p) for found in judged.surprises] == [("vm::holes", None)]
    assert not Bench().both((79, 80), (0, 240)).test("vm::holes", Outcome.FAIL, Outcome.PASS).judge().surprises


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ([(Outcome.PASS, Outcome.PASS)], Verdict.CLEAN),
        ([(Outcome.PASS, Outcome.PASS), (Outcome.SKIP, Outcome.SKIP)], Verdict.CLEAN),
        ([(Outcome.FAIL, Outcome.PASS), (Outcome.PASS, Outcome.PASS)], Verdict.CLEAN),
        ([(Outcome.SKIP, Outcome.SKIP)], Verdict.INCONCLUSIVE),
        ([(Outcome.FAIL, Outcome.FAIL), (Outcome.PASS, Outcome.PASS)], Verdict.INCONCLUSIVE),
        ([(Outcome.FAIL, Outcome.PASS)], Verdict.INCONCLUSIVE),
        ([(Outcome.PASS, Outcome.FAIL)], Verdict.REGRESSED),
        ([(Outcome.PASS, Outcome.ERROR)], Verdict.ERROR),
        ([], Verdict.INCONCLUSIVE),
    ],
)
def test_tests_alone_can_say_that_nothing_is_worse(tests: list[tuple[Outcome, Outcome]], verdict: Verdict) -> None:
    bench = Bench()
    for number, (before, after) in enumerate(tests):
        bench.test(f"s::t{number}", before, after, Blame.LAB if Outcome.ERROR in (before, after) else Blame.KERNEL)
    judged = bench.judge(**NO_CHANGE)
    assert judged.verdict is verdict, judged.reasons
    assert judged.exit == {Verdict.CLEAN: 0, Verdict.INCONCLUSIVE: 3, Verdict.REGRESSED: 1, Verdict.ERROR: 4}[verdict]


def test_tests_alone_fix_nothing() -> None:
    assert Bench().test("s::t", Outcome.PASS, Outcome.PASS).judge().verdict is Verdict.INCONCLUSIVE


def test_what_is_said_of_a_clean_run_is_true() -> None:
    bench = Bench().both((0, 40), (0, 40), "a", Role.WATCH).both((20, 40), (20, 40), "b", Role.WATCH)
    bench.test("s::t", Outcome.PASS, Outcome.PASS)
    judged = bench.judge(**NO_CHANGE)
    assert judged.verdict is Verdict.CLEAN
    assert "1 of 1 tests pass and 1 of 2 other workloads are clean" in said(judged)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (Outcome.PASS, Outcome.PASS, Verdict.FIXED),
        (Outcome.PASS, Outcome.FAIL, Verdict.REGRESSED),  # fixed, says the count: nobody heard of the faults
        (Outcome.FAIL, Outcome.FAIL, Verdict.ERROR),
        (Outcome.FAIL, Outcome.PASS, Verdict.ERROR),
    ],
)
def test_counts_of_what_nobody_would_hear_prove_nothing(before: Outcome, after: Outcome, verdict: Verdict) -> None:
    bench = Bench().both((240, 240), (0, 240)).test("heap_exit_claim::faults_are_heard", before, after)
    bench.tests = [replace(test, proof=True) for test in bench.tests]
    judged = bench.judge()
    assert judged.verdict is verdict, judged.reasons
