# SPDX-License-Identifier: GPL-2.0-or-later
"""Put the verdicts of a run's variants beside that of its plain boots, whose numbers they do not touch.

A variant is compared by itself, as a watch is: its claims are not those of the patch, since another kernel has other
rates. Heard of it is that *after* is worse there, or that a test may be, and that something could not be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from panthorlab.outcome import Role
from panthorlab.verdict.model import (
    IterationResult,
    RunVerdict,
    TestVerdict,
    VariantVerdict,
    Verdict,
    WorkloadVerdict,
    exit_status,
)
from panthorlab.verdict.suite import votes_of

HEARD = frozenset({Verdict.REGRESSED, Verdict.ERROR})


def watched(iterations: Iterable[IterationResult]) -> list[IterationResult]:
    """The iterations of a variant: nothing there is a claim or a control of the run."""
    return [replace(iteration, role=Role.WATCH) for iteration in iterations]


def with_variants(plain: RunVerdict, variants: Mapping[str, RunVerdict], *, alone: bool = False) -> RunVerdict:
    """The verdict of the run. `alone`: no test runs in plain boots, so that the variants are all there is, and the run
    no better than they are."""
    verdict = plain
    if not variants:
        return verdict
    votes = [
        (own.verdict, f"[{name}] {reason}")
        for name, own in variants.items()
        if own.verdict in HEARD or alone
        for reason in own.reasons
    ]
    votes += [
        (vote, f"[{name}] {reason}")
        for name, own in variants.items()
        for vote, reason in votes_of(own.tests)
        if vote is Verdict.INCONCLUSIVE
    ]
    deciding = max([verdict.verdict, *(vote for vote, _ in votes)], key=lambda one: one.badness)
    deciding_reasons = [reason for vote, reason in votes if vote is deciding]
    others = [reason for vote, reason in votes if vote is not deciding]
    own_first = deciding is verdict.verdict
    reasons = (
        (*verdict.reasons, *deciding_reasons, *others) if own_first else (*deciding_reasons, *verdict.reasons, *others)
    )
    return replace(
        verdict,
        verdict=deciding,
        reasons=tuple(dict.fromkeys(reasons)),
        exit=verdict.exit if own_first else exit_status(deciding, verdict.expect),
        workloads=(*verdict.workloads, *(w for name, own in variants.items() for w in _workloads(name, own))),
        tests=(*verdict.tests, *(t for name, own in variants.items() for t in _tests(name, own))),
        new_findings=(
            *verdict.new_findings,
            *(
                replace(new, where=f"{new.where} [{name}]")
                for name, own in variants.items()
                for new in own.new_findings
            ),
        ),
        surprises=(
            *verdict.surprises,
            *(
                replace(found, where=f"{found.where} [{name}]", reason=f"[{name}] {found.reason}")
                for name, own in variants.items()
                for found in own.surprises
            ),
        ),
        variants=tuple(VariantVerdict(name, own.verdict, own.reasons, own.boots) for name, own in variants.items()),
    )


def _workloads(name: str, own: RunVerdict) -> list[WorkloadVerdict]:
    return [replace(w, name=f"{w.name} [{name}]", variant=name) for w in own.workloads]


def _tests(name: str, own: RunVerdict) -> list[TestVerdict]:
    return [replace(test, name=f"{test.name} [{name}]", variant=name) for test in own.tests]
