# SPDX-License-Identifier: GPL-2.0-or-later
"""What is new on *after* and seldom: which runs it may spoil, simulated with the default plan and the real rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict import (
    BootResult, Expect, IterationResult, KernelRef, Known, Plan, RunVerdict, Verdict, compare, extension,
)  # fmt: skip
from panthorlab.verdict.model import OutsideFinding
from panthorlab.verdict.reach import MAX_BOOTS, MAX_SHARE

FAULT = frozenset({"mmu-fault"})
KERNELS = {side: KernelRef(side) for side in Side}
CLAIMS = {f"heap-exit/{name}": (80, 240) for name in ("exit", "sigkill", "sigsegv", "exec", "destroy")}
CONTROLS = {"heap-exit/no-heap-set": 80, "heap-exit/idle-exit": 20, "heap-exit/destroy-wait": 20}
WATCHES = {f"heap-exit/watch-{n}": 20 for n in range(9)} | {"heap-exit/vm-destroy-live": 10, "heap-exit/clients": 16}
ROLES = {name: Role.CLAIM for name in CLAIMS} | {name: Role.CONTROL for name in CONTROLS}
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
                self.iterations.append(IterationResult(
                    f"{boot}.{order}", side, boot, name, role, Outcome.FAIL if kinds else Outcome.PASS,
                    Blame.KERNEL if kinds else None, faulty=int(faulty), kinds=kinds,
                    signatures=signatures | ({"mmu-fault:x"} if faulty else set()), declared_kinds=FAULT, order=order,
                ))

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
            planned = {**self.plan.iterations, Side.BEFORE: {
                name: n + more.iterations.get(name, 0) for name, n in self.plan.iterations[Side.BEFORE].items()
            }}
            self.plan = replace(self.plan, iterations=planned, extended=True)
        return self.judge()


def at_rate(rng: Random, before: float, after: float) -> Shows:
    return lambda side, _workload, _boot: rng.random() < (after if side is Side.AFTER else before)


@pytest.mark.parametrize("rate", [1e-4, 3e-4, 1e-3, 5e-3])
def test_an_unrelated_warning_of_both_kernels_is_not_blamed_on_a_perfect_fix(rate: float) -> None:
    rng = Random(f"unrelated {rate}")
    verdicts = [Run(at_rate(rng, rate, rate)).finish().verdict for _ in range(150)]
    assert verdicts.count(Verdict.REGRESSED) <= 1, verdicts
    assert set(verdicts) <= {Verdict.FIXED, Verdict.REGRESSED}, verdicts


@pytest.mark.parametrize("rate", [0.01, 0.03])
def test_a_real_regression_is_found(rate: float) -> None:
    rng = Random(f"real {rate}")
    found = sum(Run(at_rate(rng, 0.0, rate)).finish().verdict is Verdict.REGRESSED for _ in range(100))
    assert found >= 97
