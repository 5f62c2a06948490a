# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics and the comparison: pure functions over outcomes.

`compare()` judges a run by the rules of evidence; `model` has its input and output; the rules themselves are in
`rules` (one workload; `workloads`, all of them), `outside` (faults outside iterations), `novelty` (what is new on
*after*) and `extension` (what *before* must still run to say so), `suite` (tests), `surprise` (what changed and nobody
claims), `compare` (the run) and `variants` (its boots of other kernels and parameters).
"""

from panthorlab.verdict.compare import build_failed, compare, decided
from panthorlab.verdict.extension import Extension, extension
from panthorlab.verdict.finding import KnownFinding, OutsideFinding
from panthorlab.verdict.model import (
    BootResult,
    Expect,
    IterationResult,
    Plan,
    RunVerdict,
    TestResult,
    Verdict,
    WorkloadVerdict,
    exit_status,
)
from panthorlab.verdict.rules import MIN_CLEAN
from panthorlab.verdict.side import KernelRef, SideResult
from panthorlab.verdict.suite import in_doubt
from panthorlab.verdict.variants import watched, with_variants

__all__ = [
    "MIN_CLEAN",
    "BootResult",
    "Expect",
    "Extension",
    "IterationResult",
    "KernelRef",
    "KnownFinding",
    "OutsideFinding",
    "Plan",
    "RunVerdict",
    "SideResult",
    "TestResult",
    "Verdict",
    "WorkloadVerdict",
    "build_failed",
    "compare",
    "decided",
    "exit_status",
    "extension",
    "in_doubt",
    "watched",
    "with_variants",
]
