# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold for any run: swapping sides, more faults, more clean iterations, and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict import (
    BootResult,
    Expect,
    IterationResult,
    KernelRef,
    Plan,
    RunVerdict,
    TestResult,
    Verdict,
    compare,
)

FAULT = frozenset({"mmu-fault"})
KERNELS = {side: KernelRef(side) for side in Side}
Counts = tuple[int, int]


def _runs(side: Side, counts: Counts, workload: str, role: Role = Role.CLAIM) -> list[IterationResult]:
    """`counts` is (faulty, total), in one boot: what is asked here is not whether boots agree."""
    return [
        IterationResult(
            f"{side}-{workload}-{n}",
            side,
            side,
            workload,
            role,
            Outcome.PASS,
            faulty=int(n < counts[0]),
            kinds=FAULT if n < counts[0] else frozenset(),
            declared_kinds=FAULT,
        )
        for n in range(counts[1])
    ]


def _judge(
    iterations: Sequence[IterationResult],
    expect: Expect = Expect.FIX,
    tests: Sequence[TestResult] = (),
    boots: Sequence[BootResult] | None = None,
) -> RunVerdict:
    if boots is None:
        boots = [BootResult(side, side, "board", Outcome.PASS) for side in Side]
    return compare(iterations, boots, tests, Plan({}, expect, min_boots=1), KERNELS)


def _run(before: Counts, after: Counts, other: tuple[Counts, Counts], expect: Expect) -> RunVerdict:
    """A run with two claims; `other` is the second."""
    return _judge(
        [
            *_runs(Side.BEFORE, before, "exit"),
            *_runs(Side.AFTER, after, "exit"),
            *_runs(Side.BEFORE, other[0], "kill"),
            *_runs(Side.AFTER, other[1], "kill"),
        ],
        expect,
    )


counts = st.integers(1, 300).flatmap(
    lambda n: st.tuples(st.one_of(st.just(0), st.just(n), st.integers(0, n), st.integers(0, min(5, n))), st.just(n))
)
pairs = st.tuples(counts, counts)
expects = st.sampled_from(Expect)


@given(before=counts, after=counts, other=pairs, expect=expects, more=st.integers(1, 300))
def test_more_faults_on_after_never_improve_the_verdict(
    before: Counts, after: Counts, other: tuple[Counts, Counts], expect: Expect, more: int
) -> None:
    worse = (min(after[1], after[0] + more), after[1])
    was, now = _run(before, after, other, expect), _run(before, worse, other, expect)
    assert now.verdict.badness >= was.verdict.badness, (was.reasons, now.reasons)


@given(before=counts, after=counts, other=pairs, expect=expects, more=st.integers(1, 300))
def test_clean_iterations_of_after_never_worsen_the_verdict(
    before: Counts, after: Counts, other: tuple[Counts, Counts], expect: Expect, more: int
) -> None:
    was, now = _run(before, after, other, expect), _run(before, (after[0], after[1] + more), other, expect)
    assert now.verdict.badness <= was.verdict.badness, (was.reasons, now.reasons)


@given(before=st.tuples(st.integers(150, 300), st.just(300)), after=st.just((0, 400)), other=pairs)
def test_a_fix_swapped_is_a_regression(before: Counts, after: Counts, other: tuple[Counts, Counts]) -> None:
    if _run(before, after, other, Expect.FIX).verdict is Verdict.FIXED:
        assert _run(after, before, (other[1], other[0]), Expect.FIX).verdict is Verdict.REGRESSED
    assert _run(before, after, (before, after), Expect.FIX).verdict is Verdict.FIXED
    assert _run(after, before, (after, before), Expect.FIX).verdict is Verdict.REGRESSED


@given(before=counts, after=counts, other=pairs)
def test_a_fix_has_no_fault_and_enough_evidence(before: Counts, after: Counts, other: tuple[Counts, Counts]) -> None:
    judged = _run(before, after, other, Expect.FIX)
    if judged.exit == 0:
        for workload in judged.workloads:
            assert workload.after.faulty == 0
            assert workload.after.iterations >= 228
            assert workload.before.faulty > 0


outcomes = st.sampled_from(
    [
        (Outcome.PASS, None),
        (Outcome.FAIL, Blame.KERNEL),
        (Outcome.FAIL, Blame.TEST),
        (Outcome.ERROR, Blame.LAB),
        (Outcome.MISS, Blame.KERNEL),
        (Outcome.SKIP, Blame.TEST),
    ]
)


@st.composite
def _any_run(draw: st.DrawFn) -> tuple[list[IterationResult], list[TestResult], list[BootResult]]:
    boots = []
    for side in Side:
        for n in range(draw(st.integers(1, 3))):
            outcome, blame = draw(outcomes)
            board = draw(st.sampled_from(["a", "b"]))
            boots.append(BootResult(f"{side}-{n}", side, board, outcome, blame, booted=draw(st.booleans())))
    iterations, tests = [], []
    for n in range(draw(st.integers(0, 40))):
        boot = draw(st.sampled_from(boots))
        outcome, blame = draw(outcomes)
        kinds = draw(st.frozensets(st.sampled_from(["mmu-fault", "oops", "leak"]), max_size=2))
        workload, role = draw(st.sampled_from([("exit", Role.CLAIM), ("forks", Role.WATCH), ("idle", Role.CONTROL)]))
        iterations.append(
            IterationResult(
                str(n),
                boot.side,
                boot.id,
                workload,
                role,
                outcome,
                blame,
                faulty=int("mmu-fault" in kinds),
                kinds=kinds,
                signatures=frozenset(f"{kind}:{draw(st.integers(0, 2))}" for kind in kinds),
                declared_kinds=FAULT,
                cut=outcome is Outcome.MISS and draw(st.booleans()),
            )
        )
        tests.append(TestResult(f"t{n % 3}", boot.side, outcome, blame, str(n), boot.id))
    return iterations, tests, boots


@given(run=_any_run(), rng=st.randoms(use_true_random=False))
def test_order_does_not_matter_and_anything_is_judged(
    run: tuple[list[IterationResult], list[TestResult], list[BootResult]], rng: Random
) -> None:
    iterations, tests, boots = run
    judged = _judge(iterations, tests=tests, boots=boots)
    for records in run:
        rng.shuffle(records)
    again = _judge(iterations, tests=tests, boots=boots)
    assert again == judged
    assert judged.exit in (0, 1, 3, 4)
    assert judged.reasons


@given(run=_any_run())
def test_spoiling_an_iteration_of_after_never_makes_a_fix(
    run: tuple[list[IterationResult], list[TestResult], list[BootResult]],
) -> None:
    iterations, _, _ = run
    spoiled = [
        replace(i, boot=i.side)
        if i.side is Side.BEFORE
        else replace(i, boot=i.side, outcome=Outcome.ERROR, blame=Blame.LAB)
        for i in iterations
    ]
    assert _judge(spoiled).exit != 0
    assert _judge(spoiled, Expect.NO_CHANGE).exit != 0


@given(run=_any_run())
def test_names_of_boards_do_not_matter(run: tuple[list[IterationResult], list[TestResult], list[BootResult]]) -> None:
    iterations, tests, boots = run
    names = {"a": "zebra", "b": "ant"}
    renamed = [replace(boot, board=names[boot.board]) for boot in boots]
    was, now = (_judge(iterations, tests=tests, boots=some) for some in (boots, renamed))
    assert was.verdict == now.verdict
    for one, other in ((was.p_fewer, now.p_fewer), (was.p_more, now.p_more)):
        assert one == other or (one is not None and one == pytest.approx(other, rel=1e-9))
