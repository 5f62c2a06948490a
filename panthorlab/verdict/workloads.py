# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads of a run: from iterations and boots to the numbers of each, its p values, and what the rules make of
them. Pure; order does not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from panthorlab.outcome import Role, Side
from panthorlab.verdict.finding import NewFinding
from panthorlab.verdict.model import BootResult, IterationResult, Plan, Vote, WorkloadVerdict
from panthorlab.verdict.outside import Late, OutsideFaults, counted_in
from panthorlab.verdict.rules import Case, judge, judge_late
from panthorlab.verdict.side import KernelRef, SideResult
from panthorlab.verdict.stats import holm
from panthorlab.verdict.strata import Table, stratified_fisher, stratified_rank_sum
from panthorlab.verdict.tally import ByUse, side_result


def judge_workloads(
    iterations: Sequence[IterationResult],
    boots: Mapping[str, BootResult],
    news: Sequence[NewFinding],
    plan: Plan,
    kernels: Mapping[Side, KernelRef],
) -> tuple[tuple[WorkloadVerdict, ...], list[Vote]]:
    """Every workload that has iterations, claims first; and what faults outside iterations say of the claims if nobody
    knows whose they are."""
    members: dict[str, list[IterationResult]] = {}
    for iteration in iterations:
        members.setdefault(iteration.workload, []).append(iteration)
    cases = [_case(name, own, boots, news, plan, kernels) for name, own in sorted(members.items())]
    outside = OutsideFaults(iterations, boots)
    judged: list[WorkloadVerdict] = []
    votes: list[Vote] = []
    for role in Role:  # Holm over the workloads of one role: which watches run does not touch the claims
        raw = [case for case in cases if case.role is role]
        adjusted = _holm(raw)
        if role is Role.CLAIM:
            late, anybody = _lates(raw, members, outside), _lates(raw, members, outside, whosever=True)
            votes = _whosever(adjusted, {name: of_all for name, of_all in anybody.items() if of_all != late.get(name)})
            adjusted = [replace(case, late=late.get(case.name)) for case in adjusted]
        for case in adjusted:
            verdict, reasons = judge(case)
            judged.append(
                WorkloadVerdict(
                    case.name,
                    role,
                    verdict,
                    case.before,
                    case.after,
                    case.p_fewer,
                    case.p_more,
                    case.missable,
                    reasons,
                    case.clustered,
                    case.per_boot,
                    case.new,
                )
            )
    worst = max((w.verdict.badness for w in judged if w.role is Role.CLAIM), default=0)
    return tuple(judged), [vote for vote in votes if vote[0].badness > worst]


def _lates(
    claims: Sequence[Case],
    members: Mapping[str, Sequence[IterationResult]],
    outside: OutsideFaults,
    *,
    whosever: bool = False,
) -> dict[str, Late]:
    """Of each claim that has any: its faults outside iterations, and what its numbers are with them."""
    lates, fewer, more = {}, [], []
    for case in claims:
        declared = frozenset[str]().union(*(i.declared_kinds for i in members[case.name]))
        faults = outside.of(Side.AFTER, case.name, declared, whosever=whosever)
        own = outside.of(Side.BEFORE, case.name, declared, whosever=whosever)
        after = counted_in(case.after, faults.by_boot)
        if case.p_fewer is None or case.p_more is None:
            p_fewer = p_more = None
        else:
            p_fewer = max(case.p_fewer, stratified_fisher(_tables(case.before, after))[0])
            p_more = case.p_more
            if not case.clustered:
                p_more = min(1.0, stratified_fisher(_tables(counted_in(case.before, own.by_boot), after))[1])
            fewer.append(p_fewer)
            more.append(p_more)
        lates[case.name] = (faults, Late(len(faults.sound), after.faulty, p_fewer, p_more, faults.summary))
    adjusted = iter(zip(holm(fewer), holm(more), strict=True))
    found = {}
    for name, (faults, late) in lates.items():
        if late.p_fewer is not None:
            p_fewer, p_more = next(adjusted)
            late = replace(late, p_fewer=p_fewer, p_more=p_more)
        if faults:
            found[name] = late
    return found


def _whosever(claims: Sequence[Case], lates: Mapping[str, Late]) -> list[Vote]:
    """The worst of what the claims would be if all faults outside iterations were theirs: nothing proves that a fault
    is of the iteration that ended last before it."""
    votes = []
    for case in claims:
        decision = judge_late(replace(case, late=lates.get(case.name)))
        if decision is not None:
            votes.append((decision[0], f"{case.name}, were all of them its own: {decision[1][0]}"))
    return sorted(votes, key=lambda vote: -vote[0].badness)[:1]


def _case(
    name: str,
    own: Sequence[IterationResult],
    boots: Mapping[str, BootResult],
    news: Sequence[NewFinding],
    plan: Plan,
    kernels: Mapping[Side, KernelRef],
) -> Case:
    """The numbers of one workload; its p values are not adjusted yet."""
    roles = {iteration.role for iteration in own}
    if len(roles) > 1:
        raise ValueError(f"workload {name} has several roles: {', '.join(sorted(roles))}")
    per_boot = any(iteration.per_boot for iteration in own)
    clustered = not per_boot and any(iteration.terminations > 1 for iteration in own)
    before, after = (
        side_result(
            side,
            kernels[side],
            [i for i in own if i.side is side],
            boots,
            plan.iterations.get(side, {}).get(name, 0),
            per_boot=per_boot,
        )
        for side in (Side.BEFORE, Side.AFTER)
    )
    rates = _round_rates(own, boots) if clustered else None
    fewer, more = _p_values(before, after, rates)
    new = tuple(finding for finding in news if finding.where == name)
    return Case(name, roles.pop(), before, after, fewer, more, new, plan, clustered, per_boot)


Rates = tuple[list[float], list[float]]
"""Of the rounds of *before* and of *after*."""


def _round_rates(own: Sequence[IterationResult], boots: Mapping[str, BootResult]) -> list[Rates]:
    """For each board, the rate of each round that counts."""
    by_board: dict[str, Rates] = {}
    for round_ in ByUse.of(own, boots).counted:
        rates = by_board.setdefault(boots[round_.boot].board, ([], []))
        rates[round_.side is Side.AFTER].append(round_.faulty / round_.terminations)
    return [rates for _, rates in sorted(by_board.items())]


def _tables(before: SideResult, after: SideResult) -> list[Table]:
    """For each board, the counts of both sides."""
    counts = {board.board: (board.faulty, board.iterations) for board in before.boards}
    tables = [(*counts.pop(board.board, (0, 0)), board.faulty, board.iterations) for board in after.boards]
    return [*tables, *((faulty, total, 0, 0) for faulty, total in counts.values())]


def _p_values(
    before: SideResult, after: SideResult, rates: Sequence[Rates] | None
) -> tuple[float | None, float | None]:
    """(fewer, more), the boards being strata. `rates`: of rounds with several terminations, whose p is the larger of
    two: each termination counted by itself, and the rounds ranked by their rates, since terminations of one round are
    not independent."""
    if not before.rounds or not after.rounds:
        return None, None
    fewer, more = stratified_fisher(_tables(before, after))
    if rates is not None:
        by_round = stratified_rank_sum(rates)
        fewer, more = max(fewer, by_round[0]), max(more, by_round[1])
    return fewer, more


def _holm(cases: Sequence[Case]) -> list[Case]:
    """The same cases with Holm-adjusted p values."""
    fewer = holm([case.p_fewer for case in cases if case.p_fewer is not None])
    more = holm([case.p_more for case in cases if case.p_more is not None])
    adjusted = iter(zip(fewer, more, strict=True))
    judged = []
    for case in cases:
        if case.p_fewer is not None:
            p_fewer, p_more = next(adjusted)
            case = replace(case, p_fewer=p_fewer, p_more=p_more)
        judged.append(case)
    return judged
