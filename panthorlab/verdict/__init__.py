# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics and the comparison: pure functions over outcomes.

`compare()` judges a run by the rules of evidence; `model` has its input and output; the rules themselves are in
`rules` (one workload), `novelty` (what is new on *after*), `suite` (tests) and `compare` (the run).
"""

from panthorlab.verdict.compare import build_failed, compare, decided
from panthorlab.verdict.model import (
    BootResult,
    Expect,
    IterationResult,
    KernelRef,
    Plan,
    RunVerdict,
    SideResult,
    TestResult,
    Verdict,
    WorkloadVerdict,
    exit_status,
)
from panthorlab.verdict.rules import MIN_CLEAN

__all__ = [
    "MIN_CLEAN", "BootResult", "Expect", "IterationResult", "KernelRef", "Plan", "RunVerdict", "SideResult",
    "TestResult", "Verdict", "WorkloadVerdict", "build_failed", "compare", "decided", "exit_status",
]
