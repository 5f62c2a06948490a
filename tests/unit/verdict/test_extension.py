# SPDX-License-Identifier: GPL-2.0-or-later
"""What is new on *after* and seldom: which runs it may spoil, simulated with the default plan and the real rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict import (
    BootResult,
    IterationResult,
    KernelRef,
    KnownFinding,
    OutsideFinding,
    Plan,
    RunVerdict,
    Verdict,
    compare,
    extension,
)
from panthorlab.verdict.reach import MAX_BOOTS, MAX_SHARE

FAULT = frozenset({"mmu-fault"})
KERNELS = {side: KernelRef(side) for side in Side}
CLAIMS = {f"heap-exit/{name}": (80, 240) for name in ("exit", "sigkill", "sigsegv", "exec", "destroy")}
CONTROLS = {"heap-exit/no-heap-set": 80, "heap-exit/idle-exit": 20, "heap-exit/destroy-wait": 20}
WATCHES = {f"heap-exit/watch-{n}": 20 for n in range(9)} | {"heap-exit/vm-destroy-live": 10, "heap-exit/clients": 16}
ROLES = dict.fromkeys(CLAIMS, Role.CLAIM) | dict.fromkeys(CONTROLS, Role.CONTROL)
PLAN: dict[Side, dict[str, int]] = {
    side: {name: counts[side is Side.AFTER] for name, counts in CLAIMS.items()} | CONTROLS | WATCHES for side in Side
}

Shows = Callable[[Side, str, str], bool]
"""Whether an iteration of that side, workload and boot shows the finding."""


@dataclass
class Run:
    """A perfect fix, with one more finding on top of it; two boots a side, as by default."""

    shows: Shows
    signature: str = "warning:panthor:drm_WARN_ON"
    plan: Plan = field(default_factory=lambda: Plan(PLAN))
    iterations: list[IterationResult] = field(default_factory=list)
    boots: list[BootResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        for side in Side:
            for number in (1, 2):
                self.boot(f"{side}{number}.1", {name: total // 2 for name, total in PLAN[side].items()})

    def boot(self, boot: str, quotas: Mapping[str, int]) -> None:
        side = Side(boot.rstrip(".0123456789"))
        self.boots.append(BootResult(boot, side, "qemu-g610", Outcome.PASS))
        order = 0
        for name, quota in quotas.items():
            role = ROLES.get(name, Role.WATCH)
            faulty = side is Side.BEFORE and role is Role.CLAIM
            for _ in range(quota):
                order += 1
                odd = self.shows(side, name, boot)
                kinds = (FAULT if faulty else frozenset()) | (frozenset({"warning"}) if odd else frozenset())
                signatures = frozenset({self.signature}) if odd else frozenset()
                self.iterations.append(
                    IterationResult(
                        f"{boot}.{order}",
                        side,
                        boot,
                        name,
                        role,
                        Outcome.FAIL if kinds else Outcome.PASS,
                        Blame.KERNEL if kinds else None,
                        faulty=int(faulty),
                        kinds=kinds,
                        signatures=signatures | ({"mmu-fault:x"} if faulty else set()),
                        declared_kinds=FAULT,
                        order=order,
                    )
                )

    def judge(self) -> RunVerdict:
        return compare(self.iterations, self.boots, [], self.plan, KERNELS)

    def finish(self) -> RunVerdict:
        """What the controller does: *before* gets what the rule asks for, once, unless the run is decided already."""
        verdict = self.judge()
        if verdict.verdict in (Verdict.ERROR, Verdict.REGRESSED):
            return verdict
        more = extension(self.iterations, self.boots, self.plan)
        if more:
            self.boot("before3.1", more.iterations)
            planned = {
                **self.plan.iterations,
                Side.BEFORE: {
                    name: n + more.iterations.get(name, 0) for name, n in self.plan.iterations[Side.BEFORE].items()
                },
            }
            self.plan = replace(self.plan, iterations=planned, extended=True)
        return self.judge()


def at_rate(rng: Random, before: float, after: float, only: str = "") -> Shows:
    def shows(side: Side, workload: str, _boot: str) -> bool:
        rate = after if side is Side.AFTER else before
        return only in workload and rng.random() < rate

    return shows


def runs(shows: Shows, count: int) -> Iterator[Verdict]:
    """The verdicts of many runs; those in which nothing was seen are all the same, and judged once."""
    nothing = None
    for _ in range(count):
        run = Run(shows)
        if any(i.kinds - FAULT for i in run.iterations):
            yield run.finish().verdict
        else:
            nothing = nothing or run.finish().verdict
            yield nothing


MANY = min(300, settings().max_examples)
"""40 in ordinary runs of the tests, 300 in full ones."""


@pytest.mark.parametrize("rate", [1e-4, 3e-4, 1e-3])
def test_an_unrelated_warning_of_both_kernels_is_not_blamed_on_a_perfect_fix(rate: float) -> None:
    rng = Random(f"unrelated {rate}")  # noqa: S311 - not for secrets
    verdicts = Counter(runs(at_rate(rng, rate, rate), MANY))
    assert verdicts[Verdict.REGRESSED] <= 0.01 * MANY, verdicts
    assert set(verdicts) <= {Verdict.FIXED, Verdict.REGRESSED}


@pytest.mark.parametrize(("rate", "where"), [(0.01, ""), (0.05, "exec")])
def test_a_real_regression_is_found(rate: float, where: str) -> None:
    rng = Random(f"real {rate}")  # noqa: S311 - not for secrets
    assert Counter(runs(at_rate(rng, 0.0, rate, where), MANY))[Verdict.REGRESSED] >= 0.95 * MANY


def first_of_each_boot(side: Side, workload: str) -> Shows:
    """A WARN_ONCE that `workload` runs into at once, and that no other iteration of the boot can show again."""
    told: set[str] = set()

    def shows(this: Side, name: str, boot: str) -> bool:
        if (this, name) != (side, workload) or boot in told:
            return False
        told.add(boot)
        return True

    return shows


def test_what_is_told_once_per_boot_but_at_once_is_found_all_the_same() -> None:
    assert Run(first_of_each_boot(Side.AFTER, "heap-exit/exec")).finish().verdict is Verdict.REGRESSED
    assert Run(first_of_each_boot(Side.BEFORE, "heap-exit/exec")).finish().verdict is Verdict.FIXED


def once(workload: str, signature: str = "warning:panthor:drm_WARN_ON") -> Run:
    """A run in which one iteration of *after* shows something."""
    left = [True]

    def shows(side: Side, name: str, _boot: str) -> bool:
        if side is Side.AFTER and name == workload and left[0]:
            left[0] = False
            return True
        return False

    return Run(shows, signature)


def test_before_gets_as_much_as_would_have_shown_it_and_the_rest_is_told() -> None:
    run = once("heap-exit/exec")
    assert run.judge().verdict is Verdict.INCONCLUSIVE
    more = extension(run.iterations, run.boots, run.plan)
    assert more.iterations == {"heap-exit/exec": 718 - 80}  # (1 - 1/240)^718 < 5 %
    assert more.boots == 0
    verdict = run.finish()
    assert verdict.verdict is Verdict.FIXED
    assert not extension(run.iterations, run.boots, run.plan)
    assert "warning in 1/240 of heap-exit/exec on after, 0/718 on before" in "\n".join(verdict.reasons)
    assert verdict.asides


def test_nothing_new_needs_nothing_more() -> None:
    assert not extension(Run(lambda *_: False).iterations, Run(lambda *_: False).boots, Plan(PLAN))
    both = Run(at_rate(Random(1), 0.3, 0.3))  # noqa: S311 - not for secrets
    assert not extension(both.iterations, both.boots, both.plan)


@pytest.mark.parametrize("kind", ["oops", "panic", "kasan", "lockdep"])
def test_what_could_kill_the_machine_decides_alone(kind: str) -> None:
    run = once("heap-exit/exec")
    run.iterations = [
        replace(i, kinds=frozenset({kind}), signatures=frozenset({f"{kind}:x"})) if "warning" in i.kinds else i
        for i in run.iterations
    ]
    assert run.judge().verdict is Verdict.REGRESSED
    assert not extension(run.iterations, run.boots, run.plan)


def outside(run: Run, boots: Sequence[str], finding: OutsideFinding) -> Run:
    run.boots = [replace(b, outside=(finding,)) if b.id in boots else b for b in run.boots]
    return run


def test_outside_iterations_boots_are_counted() -> None:
    warning = OutsideFinding("warning", "warning:panthor:probe", 0.1)
    every = outside(Run(lambda *_: False), ["after1.1", "after2.1"], warning)
    assert every.judge().verdict is Verdict.INCONCLUSIVE
    more = extension(every.iterations, every.boots, every.plan)
    assert (dict(more.iterations), more.boots) == ({}, 8)
    for number in range(more.boots):
        every.boots.append(BootResult(f"before{number + 3}.1", Side.BEFORE, "qemu-g610", Outcome.PASS))
    every.plan = replace(every.plan, extended=True)
    assert every.judge().verdict is Verdict.REGRESSED
    seen = outside(Run(lambda *_: False), ["after1.1", "after2.1", "before1.1"], warning)
    assert seen.judge().verdict is Verdict.FIXED
    one = outside(Run(lambda *_: False), ["after1.1"], warning)
    more = extension(one.iterations, one.boots, one.plan)
    assert 0 < more.boots <= MAX_BOOTS
    one.plan = replace(one.plan, extended=True)
    assert one.judge().verdict is Verdict.FIXED


def test_after_the_end_of_an_iteration_it_is_of_that_workload() -> None:
    run = Run(lambda *_: False)
    marker = next(i for i in run.iterations if i.workload == "heap-exit/exec" and i.side is Side.AFTER)
    outside(run, [marker.boot], OutsideFinding("warning", "warning:x", 3.0, marker.id, marker.workload, 0.1))
    assert extension(run.iterations, run.boots, run.plan).iterations == {"heap-exit/exec": 718 - 80}


@given(hits=st.dictionaries(st.sampled_from(sorted(PLAN[Side.AFTER])), st.integers(1, 9), max_size=3))
def test_before_never_gets_more_than_the_cap(hits: dict[str, int]) -> None:
    left = dict(hits)

    def shows(side: Side, name: str, _boot: str) -> bool:
        if side is Side.AFTER and left.get(name, 0):
            left[name] -= 1
            return True
        return False

    run = Run(shows)
    for name, more in extension(run.iterations, run.boots, run.plan).iterations.items():
        assert PLAN[Side.BEFORE][name] + more <= MAX_SHARE * PLAN[Side.AFTER][name]


KNOWN = "heap-exit/.*@warning:panthor:.*"


@pytest.mark.parametrize(
    ("pattern", "verdict"),
    [
        (KNOWN, Verdict.FIXED),
        ("heap-exit/exec@warning", Verdict.FIXED),
        (".*@.*", Verdict.FIXED),
        ("heap-exit/exi@warning", Verdict.REGRESSED),
        ("heap-exit/exec@warn", Verdict.REGRESSED),
    ],
)
def test_known_findings_are_told_and_not_blamed(pattern: str, verdict: Verdict) -> None:
    run = Run(lambda side, name, _boot: side is Side.AFTER and name == "heap-exit/exec")
    run.plan = Plan(PLAN, known=[KnownFinding(re.compile(pattern), "list.txt:3", "Bug Report: https://x")])
    judged = run.judge()
    assert judged.verdict is verdict, judged.reasons
    assert not extension(run.iterations, run.boots, run.plan)
    if verdict is Verdict.FIXED:
        assert any("known (list.txt:3: Bug Report: https://x): warning" in reason for reason in judged.reasons)


def test_a_list_cannot_hide_what_a_claim_is_about_nor_what_could_kill_the_machine() -> None:
    everything = [KnownFinding(re.compile("(?s).*"))]
    run = Run(lambda *_: False, plan=Plan(PLAN, known=everything))
    run.iterations = [
        replace(
            i, kinds=FAULT, signatures=frozenset({"mmu-fault:x"}), faulty=1, outcome=Outcome.FAIL, blame=Blame.KERNEL
        )
        if i.side is Side.AFTER and i.role is Role.CLAIM
        else i
        for i in run.iterations
    ]
    assert run.judge().verdict is Verdict.NOT_FIXED
    late = outside(Run(lambda *_: False, plan=Plan(PLAN, known=everything)), ["after1.1"], OutsideFinding("mmu-fault"))
    assert late.judge().verdict is Verdict.REDUCED
    oops = Run(lambda *_: False, plan=Plan(PLAN, known=everything))
    outside(oops, ["after1.1"], OutsideFinding("oops", "oops:x"))
    assert oops.judge().verdict is Verdict.INCONCLUSIVE
    died = Run(lambda *_: False, plan=Plan(PLAN, known=everything))
    died.boots[-1] = replace(died.boots[-1], outcome=Outcome.FAIL, blame=Blame.KERNEL)
    assert died.judge().verdict is Verdict.REGRESSED


@pytest.mark.parametrize("per_boot", [False, True])
def test_kinds_that_are_told_once_per_boot_are_counted_per_boot(per_boot: bool) -> None:
    """In iterations 120 of 240 would be a proof; but only one boot of two has it, and can have it no oftener."""
    run = Run(lambda *_: False)
    run.iterations = [
        replace(
            i,
            once=frozenset({"leak"}) if per_boot else frozenset(),
            kinds=frozenset({"leak"}),
            signatures=frozenset(),
            outcome=Outcome.FAIL,
            blame=Blame.KERNEL,
        )
        if i.boot == "after2.1" and i.workload == "heap-exit/exec" and i.order > 400
        else i
        for i in run.iterations
    ]
    told = next(new for new in run.judge().new_findings if new.name == "leak")
    assert told.after == ((1, 2) if per_boot else (80, 240))
    assert told.regressed is not per_boot
