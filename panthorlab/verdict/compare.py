# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of two kernels: from everything that happened to one `RunVerdict`. Pure; order does not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from panthorlab.outcome import Outcome, Role, Side
from panthorlab.verdict.finding import NewFinding, unblamed
from panthorlab.verdict.model import (
    BootResult,
    Expect,
    IterationResult,
    Plan,
    RunVerdict,
    TestResult,
    TestVerdict,
    Verdict,
    Vote,
    WorkloadVerdict,
    exit_status,
)
from panthorlab.verdict.novelty import comparable, new_findings
from panthorlab.verdict.side import KernelRef, SideResult
from panthorlab.verdict.sightings import BOOT, WAITED, kind_of
from panthorlab.verdict.suite import beyond_before, compare_tests, votes_of
from panthorlab.verdict.surprise import surprises
from panthorlab.verdict.tally import pooled
from panthorlab.verdict.workloads import judge_workloads


def compare(
    iterations: Iterable[IterationResult],
    boots: Iterable[BootResult],
    tests: Iterable[TestResult],
    plan: Plan,
    kernels: Mapping[Side, KernelRef],
) -> RunVerdict:
    """Judge a run.

    Every iteration must belong to one of `boots`, else it does not count. `ValueError` if a workload has two roles or
    two boots have one id, which only a bug of the caller can cause.
    """
    iterations, all_boots, tests = tuple(iterations), tuple(boots), tuple(tests)
    by_boot = {boot.id: boot for boot in all_boots}
    if len(by_boot) < len(all_boots):
        raise ValueError(f"boots with the same id: {sorted(boot.id for boot in all_boots)}")
    kernels = {side: kernels.get(side, KernelRef("")) for side in Side}  # a kernel may never have been built
    if plan.identical:
        return decided(Verdict.UNCHANGED, (f"the builds cannot differ: {plan.identical}",), plan, kernels)
    judged_tests = compare_tests(tests, by_boot)
    news = comparable(new_findings(iterations, by_boot, plan), beyond_before(judged_tests))
    workloads, outside_votes = judge_workloads(iterations, by_boot, news, plan, kernels)
    votes = [*_records(iterations, plan), *_gaps(by_boot.values())]
    dead = _never_up(by_boot)
    if dead:
        votes.append(dead)  # then nothing else can be said about the kernel that never came up
    else:
        votes += [*_workload_votes(workloads, plan), *outside_votes, *votes_of(judged_tests)]
        votes += _missed(judged_tests, by_boot, plan)
        if not any(workload.role is Role.CLAIM for workload in workloads):
            votes.append(_without_claim(workloads, judged_tests, plan))
        votes += _news_votes(news, workloads)
    verdict = max((vote for vote, _ in votes), key=lambda vote: vote.badness)
    claims = [w for w in workloads if w.role is Role.CLAIM]
    before = pooled(Side.BEFORE, kernels[Side.BEFORE], [w.before for w in claims])
    after = pooled(Side.AFTER, kernels[Side.AFTER], [w.after for w in claims])
    missable = max((w.missable_rate for w in claims), default=1.0)
    # the deciding reasons first, then the others by weight; each once
    reasons = [reason for _, reason in sorted(votes, key=lambda vote: -vote[0].badness)]
    if claims and verdict in (Verdict.FIXED, Verdict.CLEAN):
        reasons.insert(0, _together(len(claims), before, after, missable))
    return RunVerdict(
        verdict,
        exit_status(verdict, plan.expect, interrupted=bool(plan.interrupted)),
        tuple(dict.fromkeys(reasons)),
        before,
        after,
        max((w.p_fewer for w in claims if w.p_fewer is not None), default=None),
        min((w.p_more for w in claims if w.p_more is not None), default=None),
        missable,
        workloads,
        judged_tests,
        news,
        plan.expect,
        _usable_boots(by_boot),
        surprises(
            workloads, iterations, by_boot, tests, (t.name for t in judged_tests if t.verdict is Verdict.FIXED), plan
        ),
    )


def _together(claims: int, before: SideResult, after: SideResult, missable: float) -> str:
    return (
        f"all {claims} claim workloads together: {before.faulty}/{before.iterations} before, "
        f"{after.faulty}/{after.iterations} after; in each, a rate above {missable:.2%} would have shown with "
        "99 % confidence"
    )


def decided(verdict: Verdict, reasons: Sequence[str], plan: Plan, kernels: Mapping[Side, KernelRef]) -> RunVerdict:
    """A verdict that needs no iteration: builds that cannot differ, a build that failed, an early lab error."""
    before, after = (SideResult(side, kernels.get(side, KernelRef(""))) for side in (Side.BEFORE, Side.AFTER))
    status = exit_status(verdict, plan.expect, interrupted=bool(plan.interrupted))
    return RunVerdict(verdict, status, tuple(reasons), before, after, expect=plan.expect)


def build_failed(side: Side, message: str, plan: Plan, kernels: Mapping[Side, KernelRef]) -> RunVerdict:
    """*after* does not build: the patch is at fault. *before* does not build: nothing can be said about the patch."""
    if side is Side.AFTER:
        return decided(Verdict.REGRESSED, (f"after does not build, before does: {message}",), plan, kernels)
    return decided(Verdict.ERROR, (f"the base itself does not build: {message}",), plan, kernels)


def _usable_boots(boots: Mapping[str, BootResult]) -> dict[Side, int]:
    return {side: sum(1 for boot in boots.values() if boot.side is side and boot.usable) for side in Side}


def _records(iterations: Sequence[IterationResult], plan: Plan) -> list[Vote]:
    """Is the record of the run whole?"""
    votes: list[Vote] = []
    if plan.interrupted:
        votes.append((Verdict.ERROR, f"the run did not reach its end: {plan.interrupted}"))
    twice = sorted(id_ for id_, n in Counter(iteration.id for iteration in iterations).items() if n > 1)
    if twice:
        votes.append((Verdict.ERROR, f"{len(twice)} iterations are recorded twice, the first is {twice[0]}"))
    return votes


def _gaps(boots: Iterable[BootResult]) -> list[Vote]:
    """What the kernel said where its log has a gap, nobody knows: there may have been a fault."""
    votes: list[Vote] = []
    for boot in boots:
        if boot.gaps:
            where = f"after {boot.gaps[0]}" if boot.gaps[0] else "before any marker"
            more = f" and {len(boot.gaps) - 1} times more" if len(boot.gaps) > 1 else ""
            votes.append(
                (
                    Verdict.INCONCLUSIVE,
                    f"{boot.id}: the kernel log lost records outside iterations, {where}"
                    f"{more}: what it said there is not known",
                )
            )
    return votes


def _missed(tests: Iterable[TestVerdict], boots: Mapping[str, BootResult], plan: Plan) -> list[Vote]:
    """A test of the plan without a result was not passed. Where a kernel died, that is the reason."""
    if any(boot.died_of_kernel for boot in boots.values()):
        return []
    missed = sorted(plan.tests - {test.name for test in tests})
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    return [(Verdict.ERROR, f"test {missed[0]}{more}: planned, and never ran")] if missed else []


def _never_up(boots: Mapping[str, BootResult]) -> Vote | None:
    """A side without a single boot that counts."""
    usable = _usable_boots(boots)
    for side in Side:
        if usable[side]:
            continue
        own = [boot for boot in boots.values() if boot.side is side]
        messages = "; ".join(sorted({boot.message for boot in own if boot.message})) or f"{len(own)} boots on record"
        if side is Side.AFTER and own and all(boot.died_of_kernel for boot in own):
            return Verdict.REGRESSED, f"after does not boot, before does: {messages}"
        return Verdict.ERROR, f"{side} never came up: {messages}"
    return None


def _news_votes(news: Sequence[NewFinding], workloads: Sequence[WorkloadVerdict]) -> list[Vote]:
    """What is new in no claim workload: outside iterations it is heard here; in others only if it is in the way of a
    good verdict, which a time-out where nothing counts is not: hosts make those. What is blamed on nobody is told, and
    weighs nothing."""
    claims = {workload.name for workload in workloads if workload.role is Role.CLAIM}
    votes: list[Vote] = []
    for finding in news:
        if finding.regressed and finding.where == BOOT:
            votes.append((Verdict.REGRESSED, finding.reason))
        elif (
            finding.obstacle
            and finding.where not in claims
            and (finding.where == BOOT or finding.after[0] or kind_of(finding.name) not in WAITED)
        ):
            votes.append((Verdict.INCONCLUSIVE, finding.reason))
    return [*votes, *((Verdict.CLEAN, reason) for reason in unblamed(news))]


def _workload_votes(workloads: Sequence[WorkloadVerdict], plan: Plan) -> list[Vote]:
    heard = {
        Role.CLAIM: frozenset(Verdict),
        Role.WATCH: frozenset({Verdict.REGRESSED}),
        Role.CONTROL: frozenset({Verdict.REGRESSED, Verdict.ERROR}),
    }
    run_wide = {
        finding.reason for w in workloads for finding in w.new if not finding.regressed and not finding.obstacle
    }
    names_by_vote: dict[Vote, list[str]] = {}
    for w in workloads:
        if w.verdict in heard[w.role]:
            for reason in w.reasons[:1] if w.verdict in (Verdict.FIXED, Verdict.CLEAN) else w.reasons:
                if reason not in run_wide:  # it weighs nothing, and is shown once for the run
                    names_by_vote.setdefault((w.verdict, reason), []).append(w.name)
    votes = [(verdict, _of_all(names, reason)) for (verdict, reason), names in names_by_vote.items()]
    judged = {workload.name for workload in workloads}
    votes += [
        (Verdict.ERROR, f"{name}: was planned and never ran")
        for name in sorted(frozenset[str]().union(*(planned.keys() for planned in plan.iterations.values())) - judged)
    ]
    return votes


def _without_claim(workloads: Sequence[WorkloadVerdict], tests: Sequence[TestVerdict], plan: Plan) -> Vote:
    """No claim workload ran, so nothing says that a fix fixes. That nothing is worse, tests and the others can say, if
    at least one of them was good on both sides and no test failed on both."""
    none = "no claim workload ran"
    if plan.expect is Expect.FIX:
        return Verdict.INCONCLUSIVE, none
    failing = [test.name for test in tests if test.verdict is Verdict.NOT_FIXED]
    if failing:
        return Verdict.INCONCLUSIVE, f"{none}, and tests fail on both sides: {', '.join(failing)}"
    passed = sum(test.verdict is Verdict.CLEAN and test.before is Outcome.PASS for test in tests)
    clean = sum(workload.verdict is Verdict.CLEAN for workload in workloads)
    if not passed and not clean:
        return Verdict.INCONCLUSIVE, f"{none}, and nothing else was good on both sides"
    good = [f"{passed} of {len(tests)} tests pass"] if tests else []
    good += [f"{clean} of {len(workloads)} other workloads are clean"] if workloads else []
    return Verdict.CLEAN, f"{none}; on both sides {' and '.join(good)}, and nothing is worse"


def _of_all(names: Sequence[str], reason: str) -> str:
    """One sentence for a reason that several workloads share."""
    if len(names) == 1:
        return f"{names[0]}: {reason}"
    return f"{len(names)} workloads ({', '.join(names)}): {reason}"
