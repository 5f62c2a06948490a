# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults outside iterations: wherever in time *after* has them, they are in the way of a good verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict import (
    BootResult,
    Expect,
    IterationResult,
    KernelRef,
    OutsideFinding,
    Plan,
    RunVerdict,
    Verdict,
    compare,
)  # fmt: skip

FAULT = frozenset({"mmu-fault"})
KERNELS = {side: KernelRef(side) for side in Side}
SIGNATURE = "mmu-fault:panthor:TRANSLATION_FAULT_3:WRITE:csf"
CLAIMS = ("exit", "kill")


def iterations(side: Side, workload: str, total: int, faulty: int, role: Role = Role.CLAIM) -> list[IterationResult]:
    """Spread over two boots, the faulty ones too."""
    return [
        IterationResult(
            f"{side}{n % 2}.{workload}-{n}",
            side,
            f"{side}{n % 2}",
            workload,
            role,
            Outcome.FAIL if n < faulty else Outcome.PASS,
            Blame.KERNEL if n < faulty else None,
            faulty=int(n < faulty),
            kinds=FAULT if n < faulty else frozenset(),
            signatures=frozenset({SIGNATURE} if n < faulty else ()),
            declared_kinds=FAULT,
            order=n,
        )
        for n in range(total)
    ]


def run(
    before: int,
    after: Sequence[IterationResult],
    late: Sequence[tuple[str, OutsideFinding]] = (),
    expect: Expect = Expect.FIX,
    late_before: Sequence[tuple[str, OutsideFinding]] = (),
    gaps: Sequence[str] = (),
) -> RunVerdict:
    """Two claims of 80 iterations on *before*, `before` of them faulty, and what *after* is said to have."""
    boots = [
        BootResult(
            f"{side}{n}",
            side,
            "b",
            Outcome.PASS,
            outside=tuple(finding for boot, finding in (*late, *late_before) if boot == f"{side}{n}"),
            gaps=("a-1",) if f"{side}{n}" in gaps else (),
        )
        for side in Side
        for n in (0, 1)
    ]
    first = [i for claim in CLAIMS for i in iterations(Side.BEFORE, claim, 80, before)]
    return compare([*first, *after], boots, [], Plan({}, expect), KERNELS)


def clean() -> list[IterationResult]:
    return [i for claim in CLAIMS for i in iterations(Side.AFTER, claim, 240, 0)]


def after_marker(iteration: IterationResult, delay: float = 0.003) -> tuple[str, OutsideFinding]:
    return iteration.boot, OutsideFinding("mmu-fault", SIGNATURE, 1.0, iteration.id, iteration.workload, delay)


def test_a_fault_right_after_the_end_marker_of_each_iteration_is_as_good_as_none_fixed() -> None:
    good = clean()
    assert run(80, good).verdict is Verdict.FIXED
    judged = run(80, good, [after_marker(iteration) for iteration in good])
    assert (judged.verdict, judged.exit) == (Verdict.NOT_FIXED, 1)
    text = "\n".join(judged.reasons)
    assert "240 faults outside iterations on after (the first: mmu-fault 3 ms after the end of after0.exit-0 " in text
    assert "80/80 before, 240/240 after" in text


def test_before_with_the_same_late_faults_changes_nothing_of_that() -> None:
    late = [after_marker(iteration) for iteration in iterations(Side.BEFORE, "exit", 80, 0)]
    assert run(80, clean(), [after_marker(clean()[0])], late_before=late).verdict is Verdict.REDUCED
    assert run(80, clean(), late_before=late).verdict is Verdict.FIXED


@pytest.mark.parametrize("expect", Expect)
def test_late_on_both_sides_alike_is_no_regression(expect: Expect) -> None:
    late = [after_marker(i) for i in clean()]
    before = [after_marker(i) for claim in CLAIMS for i in iterations(Side.BEFORE, claim, 80, 0)]
    assert run(0, clean(), late, expect, before).verdict is Verdict.NOT_FIXED
    assert run(0, clean(), (), expect, before).verdict in (Verdict.CLEAN, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    "finding",
    [
        OutsideFinding("mmu-fault", SIGNATURE, 0.5),
        OutsideFinding("mmu-fault", SIGNATURE, 99.0, "after0.9-1", "gpu-job/store", 0.01),
        OutsideFinding("mmu-fault"),
    ],
)
def test_one_is_enough_wherever_it_is(finding: OutsideFinding) -> None:
    judged = run(80, clean(), [("after0", finding)])
    assert judged.verdict is Verdict.REDUCED
    assert finding.place in "\n".join(judged.reasons)


def test_what_a_test_provoked_on_purpose_and_other_kinds_are_no_faults_of_a_claim() -> None:
    provoked = OutsideFinding("mmu-fault", SIGNATURE, 9.0, "after0.9-1", "gpu-job/bad-store", 0.01, expected=True)
    assert run(80, clean(), [("after0", provoked)]).verdict is Verdict.FIXED


def test_kinds_of_a_boot_that_are_told_without_findings_count_too() -> None:
    boots = [
        BootResult(f"{side}{n}", side, "b", Outcome.PASS, kinds=FAULT, signatures=frozenset({SIGNATURE}))
        for side in Side
        for n in (0, 1)
    ]
    first = [i for claim in CLAIMS for i in iterations(Side.BEFORE, claim, 80, 80)]
    assert compare([*first, *clean()], boots, [], Plan({}), KERNELS).verdict is Verdict.REDUCED


@pytest.mark.parametrize("spoiled", [Outcome.ERROR, Outcome.MISS])
def test_a_fault_in_an_iteration_that_cannot_count_is_in_the_way(spoiled: Outcome) -> None:
    good = clean()
    bad = replace(
        good[0],
        id="spoiled",
        outcome=spoiled,
        blame=Blame.LAB,
        kinds=FAULT,
        signatures=frozenset({SIGNATURE}),
        faulty=1,
    )
    judged = run(80, [*good, bad])
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "where nothing can count" in "\n".join(judged.reasons)


places = st.one_of(st.none(), st.just("unmarked"), st.integers(0, 700))
"""Of one fault of *after*: nowhere, before any marker, or after the end of some iteration or program."""


def put(where: int | str | None, all_: Sequence[IterationResult]) -> list[tuple[str, OutsideFinding]]:
    if where is None:
        return []
    all_ = [iteration for iteration in all_ if iteration.side is Side.AFTER]
    if isinstance(where, str):
        return [("after1", OutsideFinding("mmu-fault", SIGNATURE, 0.1))]
    if where < len(all_):
        return [after_marker(all_[where])]
    return [("after0", OutsideFinding("mmu-fault", SIGNATURE, 9.9, f"after0.p-{where}", "gpu-job/store", 0.5))]


@given(
    before=st.integers(0, 80),
    faulty=st.tuples(st.integers(0, 240), st.integers(0, 240)),
    expect=st.sampled_from(Expect),
    late=st.lists(places, max_size=20),
    moved=st.lists(places.filter(lambda place: place is not None), max_size=20),
    claim=st.sampled_from((0, 1)),
    watch=st.integers(0, 20),
)
def test_moving_or_adding_faults_of_after_never_improves_the_verdict(
    before: int,
    faulty: tuple[int, int],
    expect: Expect,
    late: list[int | str | None],
    moved: list[int | str],
    claim: int,
    watch: int,
) -> None:
    watched = [
        *iterations(Side.BEFORE, "watch", 20, 20, Role.WATCH),
        *iterations(Side.AFTER, "watch", 20, watch, Role.WATCH),
    ]
    numbers = list(faulty)
    all_ = [*(i for c, n in zip(CLAIMS, numbers, strict=True) for i in iterations(Side.AFTER, c, 240, n)), *watched]
    outside = [entry for where in late for entry in put(where, all_)]
    was = run(before, all_, outside, expect)
    added = run(before, all_, [*outside, *(entry for where in moved for entry in put(where, all_))], expect)
    assert added.verdict.badness >= was.verdict.badness, (was.reasons, added.reasons)
    if moved or outside:
        assert added.exit != 0
    # as many as are moved out of the windows of one claim, to anywhere
    gone = min(len(moved), numbers[claim])
    numbers[claim] -= gone
    rest = [*(i for c, n in zip(CLAIMS, numbers, strict=True) for i in iterations(Side.AFTER, c, 240, n)), *watched]
    now = run(before, rest, [*outside, *(entry for where in moved[:gone] for entry in put(where, all_))], expect)
    assert now.verdict.badness >= was.verdict.badness, (was.reasons, now.reasons)


@pytest.mark.parametrize("boot", ["before0", "after1"])
def test_what_the_log_lost_outside_iterations_may_have_been_a_fault(boot: str) -> None:
    judged = run(80, clean(), gaps=[boot])
    assert (run(80, clean()).verdict, judged.verdict) == (Verdict.FIXED, Verdict.INCONCLUSIVE)
    assert f"{boot}: the kernel log lost records outside iterations, after a-1" in "\n".join(judged.reasons)
