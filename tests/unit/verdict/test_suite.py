# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests over several boots: what may blame a patch, what is only told, and both of them simulated."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.model import BootResult, TestResult, TestVerdict, Verdict
from panthorlab.verdict.suite import MORE_BOOTS, beyond_before, compare_tests, in_doubt, votes_of

BOOTS = {f"{side}-{n}": BootResult(f"{side}-{n}", side, "qemu-g610", Outcome.PASS) for side in Side for n in range(4)}


def results(name: str, before: str, after: str, *, proof: bool = False) -> list[TestResult]:
    """One letter a boot: `P`assed, `F`ailed, `S`kipped, `L`ost to the lab."""
    meant = {
        "P": (Outcome.PASS, None),
        "F": (Outcome.FAIL, Blame.KERNEL),
        "S": (Outcome.SKIP, Blame.LAB),
        "L": (Outcome.ERROR, Blame.LAB),
    }
    return [
        TestResult(name, side, *meant[letter], "said so", f"{side}-{n}", proof=proof)
        for side, letters in ((Side.BEFORE, before), (Side.AFTER, after))
        for n, letter in enumerate(letters)
    ]


def judged(before: str, after: str, *, proof: bool = False) -> TestVerdict:
    return compare_tests(results("t", before, after, proof=proof), BOOTS)[0]


def heard(test: TestVerdict) -> Verdict:
    return max((vote for vote, _ in votes_of([test])), key=lambda vote: vote.badness, default=Verdict.CLEAN)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "vote", "doubt"),
    [
        ("PP", "FF", Verdict.REGRESSED, Verdict.REGRESSED, False),
        ("PPL", "FFL", Verdict.REGRESSED, Verdict.REGRESSED, False),
        ("P", "F", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, True),
        ("PL", "FF", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, True),
        ("PP", "PF", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, True),
        ("PF", "FF", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, True),
        ("PPP", "FFF", Verdict.REGRESSED, Verdict.REGRESSED, False),
        ("PPPP", "PFPP", Verdict.INCONCLUSIVE, Verdict.CLEAN, False),
        ("PPPP", "PFPF", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, False),
        ("PPFP", "FFFF", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, False),
        ("PPFP", "FFPP", Verdict.INCONCLUSIVE, Verdict.CLEAN, False),
        ("FF", "FF", Verdict.NOT_FIXED, Verdict.CLEAN, False),
        ("FP", "FP", Verdict.NOT_FIXED, Verdict.CLEAN, False),
        ("FF", "FP", Verdict.NOT_FIXED, Verdict.CLEAN, False),
        ("FP", "PP", Verdict.FIXED, Verdict.CLEAN, False),
    ],
)
def test_boots_must_agree(before: str, after: str, verdict: Verdict, vote: Verdict, doubt: bool) -> None:
    test = judged(before, after)
    assert (test.verdict, heard(test), bool(in_doubt([test]))) == (verdict, vote, doubt)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [("P", Verdict.FIXED), ("F", Verdict.NOT_FIXED), ("S", Verdict.UNCHANGED), ("L", Verdict.ERROR)],
)
def test_what_before_did_not_live_to_run_blames_nobody(after: str, verdict: Verdict) -> None:
    dead = {**BOOTS, "before-0": replace(BOOTS["before-0"], outcome=Outcome.FAIL, blame=Blame.KERNEL)}
    test = compare_tests(results("t", "", after), dead)[0]
    assert test.verdict is verdict
    assert beyond_before([test]) == (("t",) if after in "PF" else ())
    assert after not in "FS" or "before died before it could run" in test.reason
    ran = compare_tests(results("t", "F", after), dead)[0]
    assert not beyond_before([ran])
    assert after != "S" or ran.verdict is Verdict.ERROR, "a test that failed, and cannot be carried out any more"


@pytest.mark.parametrize(("before", "after", "verdict"), [("P", "F", "doubt"), ("PP", "FF", "blamed")])
def test_what_passes_and_leaves_something_behind_has_failed_once(before: str, after: str, verdict: str) -> None:
    """Its clean-up tells so in a result of its own."""
    passed = results("t", before, "P" * len(after))
    leaking = [test for test in results("t", "", after) if test.side is Side.AFTER]
    (test,) = compare_tests([*passed, *leaking], BOOTS)
    assert test.failed_after == (len(after), len(after))
    assert test.verdict is (Verdict.REGRESSED if verdict == "blamed" else Verdict.INCONCLUSIVE)
    assert (in_doubt([test]) == ("t",)) is (verdict == "doubt")


def test_a_proof_in_doubt_is_heard_and_not_run_by_itself() -> None:
    test = judged("PPPP", "PFPP", proof=True)
    assert heard(test) is Verdict.INCONCLUSIVE
    assert not in_doubt([judged("PP", "PF", proof=True)])


@given(
    st.text("PFL", min_size=1, max_size=4).filter(lambda text: "P" in text),
    st.text("PFL", max_size=3),
    st.text("PFL", max_size=3),
)
def test_one_more_failure_of_after_makes_nothing_better(before: str, first: str, last: str) -> None:
    was, worse = (heard(judged(before, f"{first}{letter}{last}")) for letter in "PF")
    assert worse.badness >= was.badness


def run(random: Random, tests: int, before: float, after: float, boots: int = 1) -> Verdict:
    """The verdict of `tests` tests that fail at these rates per boot, `boots` of each side, and a second look."""

    def letters(rate: float, number: int) -> str:
        return "".join("F" if random.random() < rate else "P" for _ in range(number))

    worst = Verdict.CLEAN
    for _ in range(tests):
        sides = letters(before, boots), letters(after, boots)
        test = judged(*sides)
        if in_doubt([test]):
            test = judged(sides[0] + letters(before, MORE_BOOTS), sides[1] + letters(after, MORE_BOOTS))
        worst = max(worst, heard(test), key=lambda vote: vote.badness)
    return worst


@pytest.mark.parametrize("boots", [1, 2])
@pytest.mark.parametrize("rate", [1e-4, 1e-3, 5e-3])
def test_what_fails_on_a_busy_machine_blames_no_patch(rate: float, boots: int) -> None:
    random = Random(7)  # noqa: S311 - a simulation
    verdicts = [run(random, 150, rate, rate, boots) for _ in range(400)]
    assert verdicts.count(Verdict.REGRESSED) <= 4
    assert sum(verdict is not Verdict.CLEAN for verdict in verdicts) <= 16


@pytest.mark.parametrize(("boots", "heard_runs"), [(1, 240), (2, 320)])
def test_what_always_fails_is_found_and_what_often_does_is_heard(boots: int, heard_runs: int) -> None:
    random = Random(7)  # noqa: S311 - a simulation
    assert all(run(random, 1, 0.0, 1.0, boots) is Verdict.REGRESSED for _ in range(20))
    often = [run(random, 1, 0.0, 0.7, boots) for _ in range(400)]
    assert sum(verdict is not Verdict.CLEAN for verdict in often) >= heard_runs
