# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs worked out by hand, and the verdict, exit status and reasons they must get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

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
    build_failed,
    compare,
    exit_status,
)
from panthorlab.verdict.model import WorkloadVerdict

KERNELS = {Side.BEFORE: KernelRef("aaaa", "b0"), Side.AFTER: KernelRef("bbbb", "a0")}
FAULT = frozenset({"mmu-fault"})
SIGNATURE = frozenset({"mmu-fault:TRANSLATION_FAULT_3:WRITE:heap-context"})


@dataclass
class Bench:
    """A run under construction: two boots a side, every iteration planned that is added."""

    iterations: list[IterationResult] = field(default_factory=list)
    boots: list[BootResult] = field(
        default_factory=lambda: [
            BootResult(f"{side}-{n}", side, "qemu-g610", Outcome.PASS) for side in Side for n in (0, 1)
        ]
    )
    tests: list[TestResult] = field(default_factory=list)
    extra_planned: int = 0

    def add(
        self,
        side: Side,
        faulty: int,
        total: int,
        workload: str = "exit",
        role: Role = Role.CLAIM,
        *,
        boots: Iterable[int] = (0, 1),
        **changes: object,
    ) -> Bench:
        """`total` iterations spread evenly over `boots`, of which `faulty` (spread as evenly) are."""
        numbers = tuple(boots)
        for n in range(total):
            bad = n * faulty // total != (n + 1) * faulty // total
            boot = f"{side}-{numbers[n * len(numbers) // total]}"
            iteration = IterationResult(
                f"{workload}-{side}-{len(self.iterations)}",
                side,
                boot,
                workload,
                role,
                Outcome.FAIL if bad else Outcome.PASS,
                Blame.KERNEL if bad else None,
                faulty=int(bad),
                kinds=FAULT if bad else frozenset(),
                signatures=SIGNATURE if bad else frozenset(),
                declared_kinds=FAULT,
            )
            self.iterations.append(replace(iteration, **changes))  # type: ignore[arg-type]
        return self

    def both(
        self, before: tuple[int, int], after: tuple[int, int], workload: str = "exit", role: Role = Role.CLAIM
    ) -> Bench:
        return self.add(Side.BEFORE, *before, workload, role).add(Side.AFTER, *after, workload, role)

    def test(self, name: str, before: Outcome | None, after: Outcome | None, blame: Blame = Blame.KERNEL) -> Bench:
        """In both boots of each side."""
        for side, outcome in ((Side.BEFORE, before), (Side.AFTER, after)):
            if outcome:
                whose = None if outcome is Outcome.PASS else blame
                self.tests += [TestResult(name, side, outcome, whose, "said so", f"{side}-{n}") for n in (0, 1)]
        return self

    def boot(self, id_: str, **changes: object) -> Bench:
        self.boots = [replace(b, **changes) if b.id == id_ else b for b in self.boots]  # type: ignore[arg-type]
        return self

    def plan(self) -> Plan:
        planned: dict[Side, dict[str, int]] = {side: {} for side in Side}
        for i in self.iterations:
            planned[i.side][i.workload] = planned[i.side].get(i.workload, self.extra_planned) + 1
        return Plan(planned)

    def judge(self, **plan: object) -> RunVerdict:
        return compare(self.iterations, self.boots, self.tests, replace(self.plan(), **plan), KERNELS)  # type: ignore[arg-type]


def workload(verdict: RunVerdict, name: str) -> WorkloadVerdict:
    return next(w for w in verdict.workloads if w.name == name)


def said(verdict: RunVerdict) -> str:
    return "\n".join(verdict.reasons)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((400, 400), (0, 400), "fixed"),
        ((199, 200), (0, 228), "fixed"),
        ((199, 200), (0, 227), "inconclusive"),  # could have missed 2.01 %
        ((199, 200), (0, 200), "inconclusive"),
        ((20, 200), (0, 200), "inconclusive"),  # p is small enough, but a twentieth of 6.6 % is 0.33 %
        ((20, 200), (0, 1500), "fixed"),
        ((100, 200), (0, 228), "fixed"),  # a twentieth of the lower bound 43 % is 2.2 %: the 2 % decide
        ((60, 200), (0, 228), "inconclusive"),  # a twentieth of 24 % is 1.2 %
        ((3, 200), (0, 200), "inconclusive"),  # p = 0.12
        ((199, 200), (1, 400), "reduced"),
        ((200, 200), (100, 200), "reduced"),
        ((199, 200), (195, 200), "not-fixed"),
        ((3, 10), (1, 10), "not-fixed"),
        ((0, 400), (400, 400), "regressed"),
        ((50, 200), (150, 200), "regressed"),
        ((0, 400), (1, 400), "not-fixed"),  # a kind that before has nowhere, but one is no proof
        ((0, 400), (9, 400), "regressed"),
        ((0, 400), (0, 400), "inconclusive"),
    ],
)
def test_one_claim(before: tuple[int, int], after: tuple[int, int], verdict: str) -> None:
    judged = Bench().both(before, after).judge()
    assert judged.verdict == verdict, said(judged)
    assert judged.exit == exit_status(Verdict(verdict), Expect.FIX)
    assert (judged.before.faulty, judged.before.iterations) == before
    assert (judged.after.faulty, judged.after.iterations) == after


def test_numbers_of_a_fix() -> None:
    judged = Bench().both((400, 400), (0, 400)).judge()
    assert judged.before.interval == pytest.approx((0.99049, 1.0), abs=1e-5)
    assert judged.after.interval == pytest.approx((0.0, 0.00951), abs=1e-5)
    assert judged.missable_rate == pytest.approx(1 - 0.01 ** (1 / 400))
    assert judged.p_fewer is not None
    assert 0 < judged.p_fewer < 1e-200
    assert judged.p_more == 1.0
    assert [(b.boot, b.faulty, b.iterations) for b in judged.before.boots] == [
        ("before-0", 200, 200),
        ("before-1", 200, 200),
    ]
    assert judged.boots == {Side.BEFORE: 2, Side.AFTER: 2}


def test_what_is_missing_for_a_fix_is_said_in_numbers() -> None:
    assert "228 clean iterations of after are needed" in said(Bench().both((199, 200), (0, 200)).judge())
    few = said(Bench().both((3, 200), (0, 200)).judge())
    assert "too few to tell" in few
    assert "p 0.12" in few
    unseen = said(Bench().both((0, 200), (0, 200)).judge())
    assert "not reproduced" in unseen
    assert "1.88%" in unseen  # the upper limit of 0/200
    assert "≈ 5" in unseen


def test_nothing_seen_is_clean_only_if_no_change_was_expected() -> None:
    bench = Bench().both((0, 400), (0, 400))
    assert bench.judge().exit == 3
    judged = bench.judge(expect=Expect.NO_CHANGE)
    assert (judged.verdict, judged.exit) == (Verdict.CLEAN, 0)


def test_the_worst_claim_decides() -> None:
    bench = Bench().both((200, 200), (0, 400)).both((200, 200), (3, 400), "sigkill")
    judged = bench.judge()
    assert (judged.verdict, judged.exit) == (Verdict.REDUCED, 1)
    assert judged.reasons[0].startswith("sigkill: ")
    assert bench.both((0, 200), (50, 200), "exec").judge().verdict is Verdict.REGRESSED


def test_holm_over_the_claims_but_not_over_the_watches() -> None:
    one = Bench().both((11, 200), (0, 2000)).judge().p_fewer
    watched = Bench().both((11, 200), (0, 2000)).both((0, 50), (0, 50), "forks", Role.WATCH)
    assert watched.judge().p_fewer == one
    two = Bench().both((11, 200), (0, 2000)).both((11, 200), (0, 2000), "sigkill")
    assert one is not None
    assert two.judge().p_fewer == pytest.approx(2 * one)


def test_a_watch_has_its_own_verdict_and_is_residual() -> None:
    bench = Bench().both((400, 400), (0, 400))
    bench.both((150, 150), (22, 150), "clients", Role.WATCH).both((40, 40), (40, 40), "vm-destroy", Role.WATCH)
    bench.both((0, 40), (0, 40), "exec-fd", Role.WATCH)
    judged = bench.judge()
    assert (judged.verdict, judged.exit) == (Verdict.FIXED, 0)
    assert {w.name: w.verdict for w in judged.residual} == {"clients": Verdict.REDUCED, "vm-destroy": Verdict.NOT_FIXED}
    assert workload(judged, "exec-fd").verdict is Verdict.CLEAN
    assert judged.after.iterations == 400  # watches are not pooled with the claims


def test_a_regressed_watch_makes_the_run_regressed() -> None:
    judged = Bench().both((400, 400), (0, 400)).both((10, 150), (100, 150), "clients", Role.WATCH).judge()
    assert (judged.verdict, judged.exit) == (Verdict.REGRESSED, 1)
    assert judged.reasons[0].startswith("clients: ")


def test_an_oops_instead_of_the_fault_is_a_regression() -> None:
    bench = Bench().add(Side.BEFORE, 400, 400).add(Side.AFTER, 0, 399)
    bench.add(
        Side.AFTER,
        0,
        1,
        kinds=frozenset({"oops"}),
        signatures=frozenset({"oops:panthor_vm_unmap"}),
        outcome=Outcome.FAIL,
        blame=Blame.KERNEL,
    )
    judged = bench.judge()
    assert (judged.verdict, judged.exit) == (Verdict.REGRESSED, 1)
    assert "new kind on after: oops in 1/400 of exit on after, 0/400 on before" in said(judged)


def test_a_kind_that_before_has_only_elsewhere() -> None:
    reset = frozenset({"gpu-reset"})
    bench = Bench().both((400, 400), (0, 400))
    for side in Side:
        bench.add(side, 0, 20, "reset", Role.WATCH, kinds=reset)
    assert bench.judge().verdict is Verdict.FIXED
    # the fix trades its fault for resets: they cannot hide behind the workload that is meant to reset
    traded = Bench(list(bench.iterations)).add(Side.AFTER, 0, 100, kinds=reset)
    judged = traded.judge()
    assert judged.verdict is Verdict.REGRESSED
    assert "gpu-reset in 100/500 of exit on after, 0/400 on before" in said(judged)
    # a single one is no proof, but in the way of `fixed`
    once = Bench(list(bench.iterations)).add(Side.AFTER, 0, 1, kinds=reset)
    assert once.judge().verdict is Verdict.INCONCLUSIVE


def test_a_new_signature_of_a_known_kind_is_a_regression_if_numbers_carry_it() -> None:
    new = frozenset({"mmu-fault:PERMISSION_FAULT:READ:ring-buffer"})
    bench = Bench().both((200, 200), (150, 200)).add(Side.AFTER, 1, 1, signatures=new)
    judged = bench.judge()
    assert judged.verdict is Verdict.REDUCED
    assert "new signature on after: mmu-fault:PERMISSION_FAULT:READ:ring-buffer" in said(judged)
    judged = bench.add(Side.AFTER, 19, 19, signatures=new).judge()
    assert judged.verdict is Verdict.REGRESSED
    assert "new signature on after (p 3e-06)" in said(judged)


def test_memory_right_but_fence_error_is_a_failure() -> None:
    bad: dict[str, Any] = {"program_failed": True, "outcome": Outcome.FAIL, "blame": Blame.KERNEL}
    bench = Bench().both((400, 400), (0, 400)).add(Side.AFTER, 0, 1, **bad)
    assert bench.judge().verdict is Verdict.INCONCLUSIVE
    judged = bench.add(Side.AFTER, 0, 9, **bad).judge()
    assert judged.verdict is Verdict.REGRESSED
    assert "program-failed" in said(judged)


def test_controls_must_stay_clean() -> None:
    def judged(before: tuple[int, int], after: tuple[int, int]) -> RunVerdict:
        return Bench().both((400, 400), (0, 400)).both(before, after, "no-heap", Role.CONTROL).judge()

    assert judged((0, 200), (0, 200)).verdict is Verdict.FIXED
    broken = judged((2, 200), (0, 200))
    assert (broken.verdict, broken.exit) == (Verdict.ERROR, 4)
    assert "no-heap: control faults on before (2/200)" in said(broken)
    assert judged((0, 200), (1, 200)).verdict is Verdict.ERROR  # may have slipped in from elsewhere
    assert judged((0, 200), (200, 200)).verdict is Verdict.REGRESSED  # the patch makes everything fault


def test_boots_that_disagree() -> None:
    bench = Bench().add(Side.BEFORE, 200, 200, boots=[0]).add(Side.BEFORE, 100, 200, boots=[1]).add(Side.AFTER, 0, 400)
    judged = bench.judge()
    assert (judged.verdict, judged.exit) == (Verdict.INCONCLUSIVE, 3)
    assert "boots of before disagree (200/200, 100/200" in said(judged)


def test_one_boot_a_side_is_not_enough() -> None:
    bench = Bench().add(Side.BEFORE, 400, 400, boots=[0]).add(Side.AFTER, 0, 400)
    assert bench.judge().verdict is Verdict.INCONCLUSIVE
    assert "before: only 1 of 2 boots count" in said(bench.judge())
    assert bench.judge(min_boots=1).verdict is Verdict.FIXED


def test_spoiled_iterations_never_count() -> None:
    def judged(errors: int, **changes: object) -> RunVerdict:
        bench = Bench().both((400, 400), (0, 400))
        spoiled: Mapping[str, object] = {"outcome": Outcome.ERROR, "blame": Blame.LAB, **changes}
        return bench.add(Side.AFTER, 0, errors, **spoiled).judge()  # type: ignore[arg-type]

    few = judged(20)
    assert (few.verdict, few.after.iterations, few.after.errors) == (Verdict.FIXED, 400, 20)
    assert "after: 20 iterations do not count (lab or test)" in workload(few, "exit").reasons
    many = judged(22)
    assert (many.verdict, many.exit) == (Verdict.ERROR, 4)
    assert "22 of 422 iterations cannot count" in said(many)
    assert judged(22, outcome=Outcome.FAIL, blame=Blame.TEST).verdict is Verdict.ERROR
    # what a spoiled iteration shows is no evidence against the kernel, and none for it either
    doubtful = judged(1, kinds=frozenset({"oops"}))
    assert doubtful.verdict is Verdict.INCONCLUSIVE
    assert "only in iterations that cannot count" in said(doubtful)


def test_iterations_of_an_unproven_boot_never_count() -> None:
    bench = (
        Bench()
        .both((400, 400), (0, 400))
        .boot("after-1", outcome=Outcome.ERROR, blame=Blame.LAB, booted=False, message="build-id differs")
    )
    judged = bench.judge()
    assert (judged.verdict, judged.after.iterations) == (Verdict.ERROR, 200)
    assert "after: only 200 of 400 planned iterations ran" in said(judged)
    stray = Bench().both((400, 400), (0, 400)).add(Side.AFTER, 0, 10, boot="nobody-knows")
    assert stray.judge().after.iterations == 400


def test_a_boot_repeated_after_a_lab_failure_makes_the_run_whole() -> None:
    bench = Bench().both((400, 400), (0, 400))
    bench.boots.append(BootResult("after-x", Side.AFTER, "b", Outcome.ERROR, Blame.LAB, message="model crashed"))
    bench.iterations += [replace(i, id=i.id + "x", boot="after-x") for i in bench.iterations if i.boot == "after-1"]
    assert bench.judge(iterations={Side.BEFORE: {"exit": 400}, Side.AFTER: {"exit": 400}}).verdict is Verdict.FIXED


def test_fewer_than_planned_is_never_a_fix() -> None:
    bench = Bench(extra_planned=1).both((400, 400), (0, 400))
    assert (bench.judge().verdict, bench.judge().exit) == (Verdict.ERROR, 4)
    planned = {side: {"exit": 400, "sigkill": 1} for side in Side}
    judged = Bench().both((400, 400), (0, 400)).judge(iterations=planned)
    assert judged.verdict is Verdict.ERROR
    assert "sigkill: was planned and never ran" in said(judged)


def test_interrupted() -> None:
    judged = Bench().both((400, 400), (0, 400)).judge(interrupted="Ctrl-C")
    assert (judged.verdict, judged.exit) == (Verdict.ERROR, 130)
    assert "Ctrl-C" in judged.reasons[0]


def test_an_iteration_recorded_twice() -> None:
    bench = Bench().both((400, 400), (0, 400))
    bench.iterations.append(bench.iterations[0])
    assert bench.judge().verdict is Verdict.ERROR
    assert "recorded twice" in said(bench.judge())


def test_after_that_does_not_boot() -> None:
    def boots(side: Side, blame: Blame) -> RunVerdict:
        bench = Bench().both((400, 400), (0, 400))
        for n in (0, 1):
            bench.boot(f"{side}-{n}", outcome=Outcome.FAIL, blame=blame, booted=False, message="panic: no init")
        return bench.judge()

    dead = boots(Side.AFTER, Blame.KERNEL)
    assert (dead.verdict, dead.exit) == (Verdict.REGRESSED, 1)
    assert "panic: no init" in said(dead)
    assert boots(Side.AFTER, Blame.LAB).exit == 4
    assert boots(Side.BEFORE, Blame.KERNEL).exit == 4


def test_after_that_dies_is_a_regression_not_an_error() -> None:
    bench = Bench().both((400, 400), (0, 100)).boot("after-1", outcome=Outcome.FAIL, blame=Blame.KERNEL, message="hang")
    judged = bench.judge(iterations={side: {"exit": 400} for side in Side})
    assert (judged.verdict, judged.exit) == (Verdict.REGRESSED, 1)
    assert "kernel-died" in said(judged)
    assert judged.after.lost == 300


@pytest.mark.parametrize("reached", [True, False])
def test_an_oops_in_a_test_that_before_did_not_live_to_run_is_not_blamed_on_the_patch(reached: bool) -> None:
    oops = {"kinds": frozenset({"oops"}), "signatures": frozenset({"oops:panthor_heap_pool_put"})}
    bench = Bench().both((400, 400), (0, 400)).boot("after-0", **oops)
    bench.boot("before-0", outcome=Outcome.FAIL, blame=Blame.KERNEL, message="leaks hangs")
    bench.tests = [TestResult("tiler_oom", Side.AFTER, Outcome.FAIL, Blame.KERNEL, boot="after-0")]
    if reached:
        bench.tests.append(TestResult("tiler_oom", Side.BEFORE, Outcome.PASS, boot="before-1"))
    judged = bench.judge()
    assert judged.verdict is (Verdict.REGRESSED if reached else Verdict.INCONCLUSIVE)
    assert reached or "before, which died, has not run tiler_oom, and may have it, too" in said(judged)


def test_a_kernel_that_does_not_boot_is_blamed_whatever_before_has_run() -> None:
    bench = Bench().both((400, 400), (0, 400))
    bench.boot("after-0", outcome=Outcome.FAIL, blame=Blame.KERNEL, booted=False)
    bench.boot("before-0", outcome=Outcome.FAIL, blame=Blame.KERNEL)
    bench.tests = [TestResult("tiler_oom", Side.AFTER, Outcome.PASS, boot="after-1")]
    assert bench.judge().verdict is Verdict.REGRESSED


def test_both_kernels_die_is_not_a_fix() -> None:
    bench = Bench().both((400, 400), (0, 400))
    for id_ in ("before-1", "after-1"):
        bench.boot(id_, outcome=Outcome.FAIL, blame=Blame.KERNEL)
    judged = bench.judge(iterations={side: {"exit": 500} for side in Side})
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "after: 100 iterations were lost when the kernel died" in said(judged)


def test_detectors_that_speak_once_per_boot() -> None:
    lockdep = {"kinds": frozenset({"lockdep"}), "signatures": frozenset({"lockdep:vm->op_lock"})}
    bench = Bench().both((400, 400), (0, 400)).boot("after-1", **lockdep)
    assert bench.judge().verdict is Verdict.REGRESSED
    assert "lockdep in 1/2 of (boot) on after, 0/2 on before" in said(bench.judge())
    assert bench.boot("before-0", **lockdep).judge().verdict is Verdict.FIXED


def test_a_claim_about_such_a_detector_counts_boots() -> None:
    bench = Bench()
    bench.boots = [BootResult(f"{side}-{n}", side, "b", Outcome.PASS) for side in Side for n in range(240)]
    bench.add(Side.BEFORE, 480, 480, boots=range(240), per_boot=True)
    bench.add(Side.AFTER, 0, 480, boots=range(240), per_boot=True)
    judged = bench.judge()
    assert (judged.before.faulty, judged.before.iterations) == (240, 240)
    assert judged.verdict is Verdict.FIXED
    few = Bench().add(Side.BEFORE, 480, 480, per_boot=True).add(Side.AFTER, 0, 480, per_boot=True).judge()
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "≈ 228 boots a side" in said(few)


def test_rounds_of_concurrent_clients_weigh_by_terminations() -> None:
    def rounds(side: Side, faulty: list[int]) -> list[IterationResult]:
        return [
            IterationResult(
                f"{side}-r{n}",
                side,
                f"{side}-{n % 2}",
                "clients",
                Role.CLAIM,
                Outcome.PASS,
                terminations=10,
                faulty=k,
                kinds=FAULT if k else frozenset(),
                signatures=SIGNATURE if k else frozenset(),
                declared_kinds=FAULT,
            )
            for n, k in enumerate(faulty)
        ]

    mixed = Bench([*rounds(Side.BEFORE, [10] * 30), *rounds(Side.AFTER, [2] * 5 + [0] * 25)]).judge()
    assert (mixed.after.faulty, mixed.after.iterations) == (10, 300)
    assert (mixed.after.faulty_rounds, mixed.after.rounds) == (5, 30)
    assert mixed.verdict is Verdict.REDUCED
    assert "not independent" in "\n".join(workload(mixed, "clients").reasons)
    # no round is clean, but every one is much better
    milder = Bench([*rounds(Side.BEFORE, [9, 10] * 8), *rounds(Side.AFTER, [2, 3] * 8)]).judge()
    assert milder.verdict is Verdict.REDUCED
    # 2 bad rounds of 30 against 6: by terminations p = 1e-6, by rounds nothing at all
    clumped = Bench([*rounds(Side.BEFORE, [10] * 6 + [0] * 24), *rounds(Side.AFTER, [10] * 2 + [0] * 28)]).judge()
    assert clumped.verdict is Verdict.NOT_FIXED
    assert clumped.p_fewer is not None
    assert clumped.p_fewer > 0.05


@pytest.mark.parametrize(
    ("before", "after", "verdict", "run"),
    [
        (Outcome.PASS, Outcome.PASS, "clean", "fixed"),
        (Outcome.FAIL, Outcome.PASS, "fixed", "fixed"),
        (Outcome.PASS, Outcome.FAIL, "regressed", "regressed"),
        (Outcome.FAIL, Outcome.FAIL, "not-fixed", "fixed"),
        (Outcome.SKIP, Outcome.SKIP, "unchanged", "fixed"),
        (Outcome.PASS, Outcome.SKIP, "error", "error"),
        (Outcome.PASS, Outcome.ERROR, "error", "error"),
        (Outcome.PASS, None, "error", "error"),
        (Outcome.ERROR, Outcome.PASS, "clean", "fixed"),
        (Outcome.ERROR, Outcome.FAIL, "error", "error"),
    ],
)
def test_suite_tests(before: Outcome, after: Outcome | None, verdict: str, run: str) -> None:
    blame = Blame.LAB if Outcome.ERROR in (before, after) and after is not Outcome.FAIL else Blame.KERNEL
    bench = Bench().both((400, 400), (0, 400)).test("suites/test_gpu.py::test_store", before, after, blame)
    if before is Outcome.ERROR:
        bench.tests[:2] = [replace(test, blame=Blame.LAB) for test in bench.tests[:2]]
    if after is Outcome.ERROR:
        bench.tests[-2:] = [replace(test, blame=Blame.LAB) for test in bench.tests[-2:]]
    judged = bench.judge()
    assert (judged.tests[0].verdict, judged.verdict) == (verdict, run)


def test_a_retry_never_erases_a_failed_test() -> None:
    bench = Bench().both((400, 400), (0, 400)).test("t", Outcome.PASS, Outcome.FAIL)
    bench.test("t", Outcome.PASS, Outcome.PASS)
    bench.tests[-4:] = [replace(test, boot=f"{test.boot}-again") for test in bench.tests[-4:]]
    judged = bench.judge()
    assert (judged.verdict, judged.tests[0].verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert "test t: fails in 2 of 4 boots of after and in 0 of 4 of before" in said(judged)
    spoiled = Bench().both((400, 400), (0, 400)).test("t", Outcome.PASS, Outcome.ERROR, Blame.LAB)
    assert spoiled.test("t", Outcome.PASS, Outcome.PASS).judge().verdict is Verdict.FIXED


def test_builds_that_cannot_differ() -> None:
    identical = "Image, modules and DTBs are byte-identical"
    judged = Bench().judge(identical=identical)
    assert (judged.verdict, judged.exit) == (Verdict.UNCHANGED, 3)
    assert identical in said(judged)
    assert Bench().judge(identical=identical, expect=Expect.NO_CHANGE).exit == 0


def test_builds_that_fail() -> None:
    after = build_failed(Side.AFTER, "panthor_mmu.c:12: error", Plan({}), KERNELS)
    assert (after.verdict, after.exit) == (Verdict.REGRESSED, 1)
    assert build_failed(Side.BEFORE, "cc: not found", Plan({}), {}).exit == 4


def test_no_claim_is_no_verdict() -> None:
    bench = Bench().both((40, 40), (0, 400), "clients", Role.WATCH)
    assert bench.judge().verdict is Verdict.INCONCLUSIVE
    clean = Bench().both((0, 40), (0, 40), "clients", Role.WATCH)
    assert clean.judge(expect=Expect.NO_CHANGE).verdict is Verdict.CLEAN
    assert Bench().judge(expect=Expect.NO_CHANGE).exit == 3


def test_a_claim_skipped_everywhere_was_not_tested() -> None:
    skipped = {"outcome": Outcome.SKIP, "blame": Blame.TEST}
    bench = Bench().add(Side.BEFORE, 0, 5, **skipped).add(Side.AFTER, 0, 5, **skipped)  # type: ignore[arg-type]
    assert bench.judge(expect=Expect.NO_CHANGE).verdict is Verdict.INCONCLUSIVE


def test_contradictions_of_the_caller_are_errors() -> None:
    with pytest.raises(ValueError, match="2 faulty of 1"):
        replace(Bench().add(Side.AFTER, 1, 1).iterations[0], faulty=2)
    with pytest.raises(ValueError, match="declared findings \\['mmu-fault'\\]"):
        Bench().add(Side.AFTER, 0, 1, kinds=FAULT)
    with pytest.raises(ValueError, match="several roles: claim, watch"):
        Bench().add(Side.AFTER, 0, 1).add(Side.AFTER, 0, 1, role=Role.WATCH).judge()
    bench = Bench()
    bench.boots.append(bench.boots[0])
    with pytest.raises(ValueError, match="boots with the same id"):
        bench.judge()


def on_boards(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> Bench:
    """A run on several boards: counts of each side by board, two boots a side and board."""
    bench = Bench(boots=[])
    for side, counts in ((Side.BEFORE, before), (Side.AFTER, after)):
        for number, (board, (faulty, total)) in enumerate(sorted(counts.items())):
            numbers = (2 * number, 2 * number + 1)
            bench.boots += [BootResult(f"{side}-{n}", side, board, Outcome.PASS) for n in numbers]
            bench.add(side, faulty, total, boots=numbers)
    return bench


def test_boards_are_strata() -> None:
    judged = on_boards({"a": (60, 60), "b": (60, 60)}, {"a": (0, 120), "b": (0, 120)}).judge()
    assert judged.verdict == "fixed", said(judged)
    exit_ = workload(judged, "exit")
    assert (exit_.before.faulty, exit_.after.iterations) == (120, 240)
    assert [(b.board, b.faulty, b.iterations) for b in exit_.before.boards] == [("a", 60, 60), ("b", 60, 60)]
    # a side that ran on one board only leaves nothing to compare on the other
    half = on_boards({"a": (60, 60)}, {"a": (0, 5), "b": (0, 235)}).judge()
    assert half.p_fewer is not None
    assert judged.p_fewer is not None
    assert judged.p_fewer < half.p_fewer


def test_boards_that_never_ran_the_other_side_prove_nothing() -> None:
    judged = on_boards({"a": (120, 120)}, {"b": (0, 240)}).judge()
    assert judged.verdict == "inconclusive", said(judged)
    assert judged.p_fewer == 1.0


def test_boards_may_differ_and_boots_of_one_board_may_not() -> None:
    honest = on_boards({"a": (120, 120), "b": (70, 120)}, {"a": (0, 120), "b": (0, 120)}).judge()
    assert honest.verdict == "fixed", said(honest)
    bench = Bench(boots=[])
    for side in Side:
        for number, board in enumerate("aabb"):
            bench.boots.append(BootResult(f"{side}-{number}", side, board, Outcome.PASS))
            faulty = {0: 60, 1: 60, 2: 60, 3: 10}[number] if side is Side.BEFORE else 0
            bench.add(side, faulty, 60, boots=(number,))
    judged = bench.judge()
    assert judged.verdict == "inconclusive"
    assert "boots of before disagree (60/60, 60/60, 60/60, 10/60" in said(judged)


def test_kind_that_is_more_frequent_only_because_of_where_it_ran_is_no_regression() -> None:
    odd: dict[str, Any] = {"kinds": frozenset({"gpu-reset"}), "outcome": Outcome.FAIL, "blame": Blame.KERNEL}
    bench = Bench(boots=[BootResult(f"{side}-{n}", side, "ab"[n], Outcome.PASS) for side in Side for n in (0, 1)])
    bench.add(Side.BEFORE, 0, 200, boots=(0,)).add(Side.BEFORE, 0, 9, boots=(1,), **odd)
    bench.add(Side.AFTER, 0, 20, boots=(0,)).add(Side.AFTER, 0, 200, boots=(1,), **odd)
    assert bench.judge().verdict != "regressed", said(bench.judge())


def cut(bench: Bench, side: Side, failed: int, left_out: int) -> Bench:
    """Two boots whose first `failed` iterations hang, which leaves out the rest."""
    for boot in (0, 1):
        bench.add(side, 0, failed, boots=(boot,), outcome=Outcome.FAIL, blame=Blame.KERNEL, program_failed=True)
        bench.add(side, 0, left_out, boots=(boot,), outcome=Outcome.MISS, blame=Blame.KERNEL, cut=True, terminations=0)
    return bench


def test_after_that_always_hangs_is_regressed_though_cut_short() -> None:
    judged = cut(Bench().add(Side.BEFORE, 0, 80), Side.AFTER, 8, 112).judge()
    assert judged.verdict == "regressed", said(judged)
    assert "program-failed in 16/16" in said(judged)
    after = workload(judged, "exit").after
    assert (after.rounds, after.cut, after.missing, after.lost) == (16, 224, 0, 0)
    assert "after: 224 iterations were left out" in said(judged)


def test_after_that_hangs_is_no_fix_even_if_before_faults() -> None:
    assert cut(Bench().add(Side.BEFORE, 80, 80), Side.AFTER, 8, 112).judge().verdict == "regressed"


def test_before_that_always_hangs_and_faults_can_be_fixed_though_cut_short() -> None:
    bench = Bench()
    for boot in (0, 1):
        bench.add(Side.BEFORE, 8, 8, boots=(boot,), program_failed=True)
        bench.add(Side.BEFORE, 0, 32, boots=(boot,), outcome=Outcome.MISS, blame=Blame.KERNEL, cut=True, terminations=0)
    judged = bench.add(Side.AFTER, 0, 240).judge()
    assert judged.verdict == "fixed", said(judged)


@pytest.mark.parametrize("expect", Expect)
def test_hanging_on_both_sides_is_nothing_to_be_content_with(expect: Expect) -> None:
    bench = cut(cut(Bench(), Side.BEFORE, 8, 32), Side.AFTER, 8, 112)
    judged = bench.judge(expect=expect)
    assert judged.verdict == "inconclusive", said(judged)
    assert "left out" in said(judged)


@pytest.mark.parametrize("role", [Role.WATCH, Role.CONTROL])
def test_what_a_watch_shows_where_it_cannot_count_is_in_the_way_too(role: Role) -> None:
    def judged(kinds: set[str], side: Side = Side.AFTER) -> RunVerdict:
        bench = Bench().both((400, 400), (0, 400)).both((0, 40), (0, 40), workload="w", role=role)
        return bench.add(
            side, 0, 1, workload="w", role=role, outcome=Outcome.ERROR, blame=Blame.LAB, kinds=frozenset(kinds)
        ).judge()

    assert judged(set()).verdict is Verdict.FIXED
    for kind in ("kasan", "oops", "warning", "gpu-fault"):
        assert judged({kind}).verdict is Verdict.INCONCLUSIVE, kind
        assert judged({kind}, Side.BEFORE).verdict is Verdict.FIXED, kind
    # a host that keeps the GPU waiting makes those
    assert judged({"job-timeout", "firmware-error"}).verdict is Verdict.FIXED
