# SPDX-License-Identifier: GPL-2.0-or-later
"""When a workload is not worth going on with on a boot: a rule that is fixed before the run, the same for all arms.

A kernel on which every iteration ends in its time-out would take hours to say the same 240 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import Iteration
from panthorlab.run.workload import Workload

FIRST: Final = 8
"""So many iterations are run of any workload before the rule is asked. All of them bad by chance, on a kernel on which
less than a third are: once in more than 6000 boots."""


def hopeless(first: Sequence[Iteration]) -> str | None:
    """Why the rest is left out, given the first `FIRST` iterations of a workload on a boot; None if it is not.

    Only programs that failed or hung count, and only with whole evidence; findings alone are what iterations are for.
    """
    if len(first) < FIRST:
        return None
    failed = [
        event
        for event in first[:FIRST]
        if event.program_failed and event.outcome is Outcome.FAIL and event.blame is Blame.KERNEL
    ]
    if len(failed) < FIRST:
        return None
    return f"left out: the first {FIRST} on this boot all failed, the first so: {failed[0].message}"


def left_out(workload: Workload, id_: str, why: str) -> Iteration:
    """One that was not run."""
    return Iteration(
        id=id_,
        workload=workload.name,
        role=workload.role,
        outcome=Outcome.MISS,
        blame=Blame.KERNEL,
        message=why,
        terminations=0,
        faulty=0,
        kinds=(),
        signatures=(),
        declared=workload.finds,
        program_failed=False,
        findings=(),
        cut=True,
    )
