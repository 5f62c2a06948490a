# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of evidence for one workload: from the numbers of both sides to a verdict with reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from panthorlab.outcome import Role
from panthorlab.verdict.finding import NewFinding
from panthorlab.verdict.model import Expect, Plan, Verdict
from panthorlab.verdict.outside import Late
from panthorlab.verdict.side import SideResult
from panthorlab.verdict.stats import ALPHA, clean_needed, first_true, fisher, missable_rate, wilson

MAX_MISSABLE = 0.02
"""`fixed` needs a missable rate of *after* no higher than this …"""

MISSABLE_SHARE = 1 / 20
"""… and no higher than this share of the lower bound of *before*'s rate."""

MAX_ERROR_SHARE = 0.05
"""More iterations than this share (and than one) spoiled by lab or test, on either side, and the workload is
`error`. What was spoiled is repeated; a workload short of its planned iterations is `error` anyway."""

MIN_CLEAN = clean_needed(MAX_MISSABLE)
"""Clean iterations of *after* that a claim workload needs at least: 228."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known about one workload. The p values are adjusted; None if a side has nothing that counts."""

    name: str
    role: Role
    before: SideResult
    after: SideResult
    p_fewer: float | None
    p_more: float | None
    new: tuple[NewFinding, ...]
    plan: Plan
    clustered: bool = False
    per_boot: bool = False
    late: Late | None = None
    """Faults of *after* outside its iterations, if there are any and this is a claim."""

    @property
    def unit(self) -> str:
        """What the denominators count."""
        return "boots" if self.per_boot else "terminations" if self.clustered else "iterations"

    @property
    def missable(self) -> float:
        return missable_rate(self.after.faulty, self.after.iterations)


def allowed_missable(before: SideResult) -> float:
    """How much *after* may have missed, at most, for `fixed`."""
    return min(MAX_MISSABLE, before.interval[0] * MISSABLE_SHARE)


def iterations_needed(rate: float) -> int:
    """About how many iterations a side needs for `fixed` if *before* faults at `rate` and *after* never does."""

    def enough(n: int) -> bool:
        faulty = math.floor(rate * n)
        allowed = min(MAX_MISSABLE, wilson(faulty, n)[0] * MISSABLE_SHARE)
        return faulty > 0 and fisher(faulty, n, 0, n)[0] < ALPHA and missable_rate(0, n) <= allowed

    return first_true(enough, limit=10**8)


Decision = tuple[Verdict, tuple[str, ...]]


def judge(case: Case) -> Decision:
    """The verdict on a workload and why, the deciding reason first."""
    verdict, reasons = _evidence(case) or _news(case) or _control(case) or _boots_agree(case) or _rates(case)
    late = judge_late(case)
    if late is not None:
        worse = late[0].badness >= verdict.badness
        if worse and verdict in (Verdict.FIXED, Verdict.CLEAN):
            reasons = ()  # they would say the contrary
        verdict, reasons = (late[0], (*late[1], *reasons)) if worse else (verdict, (*reasons, *late[1]))
    return verdict, tuple(dict.fromkeys((*reasons, *_notes(case))))


def _evidence(case: Case) -> Decision | None:
    """Is there as much sound evidence as was planned?"""
    errors = []
    for side in (case.before, case.after):
        ran = side.rounds + side.errors
        if side.errors > max(1, MAX_ERROR_SHARE * ran):
            errors.append(
                f"{side.side}: {side.errors} of {ran} iterations cannot count because of the lab or the test "
                f"(more than {MAX_ERROR_SHARE:.0%})"
            )
        if side.missing:
            errors.append(f"{side.side}: only {side.planned - side.missing} of {side.planned} planned iterations ran")
    if errors:
        return Verdict.ERROR, (*errors, *_reasons(case.new))
    empty = [side for side in (case.before, case.after) if not side.rounds]
    if len(empty) == 2 and all(side.skipped and not side.lost for side in empty):
        return Verdict.INCONCLUSIVE, ("skipped on both sides: nothing was tested",)
    for side in empty:
        if not side.lost:
            return Verdict.ERROR, (f"{side.side}: no iteration counts", *_reasons(case.new))
    return None


def _news(case: Case) -> Decision | None:
    reasons = tuple(new.reason for new in case.new if new.regressed)
    if reasons and case.p_more is not None and case.p_more < ALPHA:
        reasons = (*reasons, _more(case, case.p_more))
    return (Verdict.REGRESSED, reasons) if reasons else None


def _numbers(case: Case) -> str:
    before, after = case.before, case.after
    return f"{before.faulty}/{before.iterations} before, {after.faulty}/{after.iterations} after"


def _more(case: Case, p_more: float) -> str:
    return f"significantly more: {_numbers(case)} (p {p_more:.1g})"


def judge_late(case: Case) -> Decision | None:
    """Faults of *after* outside its iterations count as if an iteration without one had had them: a patch that only
    delays what it should prevent past the end marker has prevented nothing."""
    late = case.late
    if late is None:
        return None
    if late.p_fewer is None or late.p_more is None or not late.count:
        return Verdict.INCONCLUSIVE, (late.summary,)
    total = f"{case.before.faulty}/{case.before.iterations} before, {late.faulty}/{case.after.iterations} after"
    if late.p_more < ALPHA:
        return Verdict.REGRESSED, (f"{late.summary}; with them significantly more: {total} (p {late.p_more:.1g})",)
    if late.p_fewer < ALPHA:
        return Verdict.REDUCED, (f"{late.summary}; with them fewer, but not gone: {total} (p {late.p_fewer:.1g})",)
    return Verdict.NOT_FIXED, (
        f"{late.summary}; with them no significant change: {total} "
        f"(p fewer {late.p_fewer:.2g}, more {late.p_more:.2g})",
    )


def _control(case: Case) -> Decision | None:
    """A control is built so that it cannot fault: if it does, either *after* broke it or the check itself is broken."""
    if case.role is not Role.CONTROL:
        return None
    before, after = case.before, case.after
    if before.faulty:
        return Verdict.ERROR, (
            f"control faults on before ({before.faulty}/{before.iterations}): the check itself is broken",
        )
    if not after.faulty:
        return None
    numbers = f"{after.faulty}/{after.iterations} on after, 0/{before.iterations} on before"
    if case.p_more is not None and case.p_more < ALPHA:
        return Verdict.REGRESSED, (f"control faults on after only: {numbers} (p {case.p_more:.1g})",)
    return Verdict.ERROR, (f"control faults ({numbers}), too seldom to blame the patch: the check itself is in doubt",)


def _boots_agree(case: Case) -> Decision | None:
    for side in (case.before, case.after):
        if side.disagreement < ALPHA:
            counts = ", ".join(f"{boot.faulty}/{boot.iterations}" for boot in side.boots)
            return Verdict.INCONCLUSIVE, (
                f"boots of {side.side} disagree ({counts}; p {side.disagreement:.1g}): "
                "something besides the kernel decides",
            )
    return None


def _rates(case: Case) -> Decision:
    before, after, p_fewer, p_more = case.before, case.after, case.p_fewer, case.p_more
    if p_fewer is None or p_more is None:
        dead = before if not before.rounds else after
        return Verdict.INCONCLUSIVE, (
            f"{dead.side}: the kernel died before one iteration was whole",
            *_reasons(case.new),
        )
    numbers = _numbers(case)
    if p_more < ALPHA:
        return Verdict.REGRESSED, (_more(case, p_more),)
    if after.faulty and p_fewer < ALPHA:
        return Verdict.REDUCED, (f"significantly fewer, but not gone: {numbers} (p {p_fewer:.1g})",)
    if after.faulty:
        return Verdict.NOT_FIXED, (f"no significant change: {numbers} (p fewer {p_fewer:.2g}, more {p_more:.2g})",)
    if not before.faulty:
        return _nothing_seen(case)
    obstacles = (*_too_weak(case, p_fewer), *_doubts(case), *_too_few_boots(case))
    if obstacles:
        return Verdict.INCONCLUSIVE, obstacles
    return Verdict.FIXED, (
        f"{numbers} (p {p_fewer:.1g}); a rate above {case.missable:.2%} would have shown with 99 % confidence",
    )


def _nothing_seen(case: Case) -> Decision:
    cut = tuple(_cut(side) for side in (case.before, case.after) if side.cut)
    nothing = f"no fault on either side (0/{case.before.iterations} before, 0/{case.after.iterations} after)"
    doubts = _doubts(case)
    if case.role is Role.CLAIM and case.plan.expect is Expect.FIX:
        limit = case.before.interval[1]
        return Verdict.INCONCLUSIVE, (
            f"not reproduced: {nothing}; at the upper limit of what was seen ({limit:.2%}) "
            f"you would need ≈ {iterations_needed(limit)} {case.unit} a side",
            *doubts,
        )
    doubts = tuple(dict.fromkeys((*cut, *doubts)))
    if case.role is Role.CLAIM:
        doubts = (*doubts, *_too_few_boots(case))
    if doubts:
        return Verdict.INCONCLUSIVE, (*doubts, nothing)
    return Verdict.CLEAN, (f"{nothing}; a rate above {case.missable:.2%} would have shown with 99 % confidence",)


def _too_weak(case: Case, p_fewer: float) -> tuple[str, ...]:
    """Why the numbers do not carry `fixed` although *before* faults and *after* does not."""
    before, numbers = case.before, _numbers(case)
    if p_fewer >= ALPHA:
        return (
            f"too few to tell: {numbers} (p {p_fewer:.2g}, needed < {ALPHA:g}); at {before.rate:.2%} you would need "
            f"≈ {iterations_needed(before.rate)} {case.unit} a side",
        )
    allowed = allowed_missable(before)
    if case.missable > allowed:
        return (
            f"after could still fault at {case.missable:.2%} unseen, allowed is {allowed:.2%}: "
            f"{numbers}, {clean_needed(allowed)} clean {case.unit} of after are needed",
        )
    return ()


def _doubts(case: Case) -> tuple[str, ...]:
    """What keeps *after* from being called good although it shows no fault."""
    lost = tuple(
        f"{side.side}: {side.lost} iterations were lost when the kernel died"
        for side in (case.before, case.after)
        if side.lost
    )
    return *_obstacles(case.new), *lost, *((_cut(case.after),) if case.after.cut else ())


def _cut(side: SideResult) -> str:
    return f"{side.side}: {side.cut} iterations were left out, because the first of their boots all failed"


def _too_few_boots(case: Case) -> tuple[str, ...]:
    counted = [(side.side, sum(1 for boot in side.boots if boot.iterations)) for side in (case.before, case.after)]
    needed = case.plan.min_boots
    return tuple(f"{side}: only {boots} of {needed} boots count" for side, boots in counted if boots < needed)


def _notes(case: Case) -> tuple[str, ...]:
    """What a reader of the numbers must know whatever the verdict."""
    notes = [
        f"{side.side}: {side.errors} iterations do not count (lab or test)"
        for side in (case.before, case.after)
        if side.errors
    ]
    notes += [_cut(side) for side in (case.before, case.after) if side.cut]
    notes += [new.reason for new in case.new if not new.regressed]
    if case.clustered and case.before.rounds and case.after.rounds:
        missable = missable_rate(case.after.faulty_rounds, case.after.rounds)
        notes.append(
            "terminations of one round are not independent, so p is the larger of per termination and of ranked rounds "
            f"(rounds: {case.before.faulty_rounds}/{case.before.rounds} before, "
            f"{case.after.faulty_rounds}/{case.after.rounds} after, up to {missable:.2%} missable)"
        )
    return tuple(notes)


def _obstacles(new: Sequence[NewFinding]) -> tuple[str, ...]:
    return tuple(finding.reason for finding in new if finding.obstacle)


def _reasons(new: Sequence[NewFinding]) -> tuple[str, ...]:
    return tuple(finding.reason for finding in new)
