# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into a comparison and what comes out of it. Data only; the rules are in `compare.py`.

Going in: `IterationResult`, `BootResult` and `TestResult` (one per thing that happened), `Plan` (what was meant to
happen, fixed before the run) and `KernelRef` (what each side was). Coming out: a `RunVerdict`. `finding` has the
smaller things that they hold, `side` the numbers of one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.verdict.finding import KnownFinding, NewFinding, OutsideFinding, Surprise, unblamed
from panthorlab.verdict.side import SideResult


class Verdict(StrEnum):
    """What a comparison says about one workload, or about the whole run."""

    ERROR = "error"
    REGRESSED = "regressed"
    NOT_FIXED = "not-fixed"
    REDUCED = "reduced"
    INCONCLUSIVE = "inconclusive"
    UNCHANGED = "unchanged"
    FIXED = "fixed"
    CLEAN = "clean"

    @property
    def badness(self) -> int:
        """0 is best; of several claims the highest decides."""
        return len(Verdict) - 1 - list(Verdict).index(self)


class Expect(StrEnum):
    """What the patch is supposed to do (`--expect`)."""

    FIX = "fix"
    NO_CHANGE = "no-change"


Vote = tuple[Verdict, str]
"""What the run would be if this alone were known, and why."""


@dataclass(frozen=True, slots=True)
class IterationResult:
    """One run of one workload in a fresh process.

    Whether it counts follows from `outcome` and `blame`: PASS, DONE, and FAIL blamed on the kernel count; anything else
    (ERROR, MISS, SKIP, FAIL of the test or lab) never does.
    """

    id: str
    side: Side
    boot: str
    workload: str
    role: Role
    outcome: Outcome
    blame: Blame | None = None
    terminations: int = 1
    """Its weight in the denominator: 1, or for a round of concurrent clients the terminations with a bound heap."""
    faulty: int = 0
    """How many of those had a finding of a declared kind; 0 or 1 for an ordinary iteration."""
    kinds: frozenset[str] = frozenset()
    """All finding kinds between its markers that are blamed on the kernel, declared or not."""
    signatures: frozenset[str] = frozenset()
    """The signatures of the same findings."""
    declared_kinds: frozenset[str] = frozenset()
    """The kinds that make an iteration of this workload faulty."""
    program_failed: bool = False
    """The program, its job or the sentinel failed (wrong memory, fence error, wrong exit), whatever the log says."""
    per_boot: bool = False
    """The declared kinds come from a detector that speaks once per boot: boots are counted, not iterations."""
    once: frozenset[str] = frozenset()
    """Kinds, declared or not, that this kernel reports once per boot: what is new of them counts boots, too."""
    order: int = 0
    """Its place among the iterations of its boot."""
    cut: bool = False
    """Never ran, by the stopping rule: the first ones of this workload on this boot all failed (MISS)."""
    message: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.faulty <= max(self.terminations, 0):
            raise ValueError(f"iteration {self.id}: {self.faulty} faulty of {self.terminations} terminations")
        declared = self.kinds & self.declared_kinds
        if self.declared_kinds and self.terminations and bool(self.faulty) != bool(declared):
            raise ValueError(f"iteration {self.id}: faulty={self.faulty}, declared findings {sorted(declared)}")

    @property
    def counts(self) -> bool:
        """May this iteration be used as evidence?"""
        return self.terminations > 0 and (
            self.outcome in (Outcome.PASS, Outcome.DONE)
            or (self.outcome is Outcome.FAIL and self.blame is Blame.KERNEL)
        )


@dataclass(frozen=True, slots=True)
class BootResult:
    """One boot of one kernel. Nothing from a boot with outcome ERROR counts (wrong build-id, dead board or model)."""

    id: str
    side: Side
    board: str
    outcome: Outcome
    blame: Blame | None = None
    booted: bool = True
    """Came up and proved itself. A kernel that came up and died later has `booted`, FAIL and blame kernel."""
    kinds: frozenset[str] = frozenset()
    """Finding kinds blamed on the kernel that belong to no iteration, and come after none."""
    signatures: frozenset[str] = frozenset()
    """The signatures of the same findings."""
    outside: tuple[OutsideFinding, ...] = ()
    """All findings outside iterations, one by one."""
    gaps: tuple[str, ...] = ()
    """Where the kernel log lost records outside iterations: the id of the marker before, empty if there was none."""
    message: str = ""

    @property
    def died_of_kernel(self) -> bool:
        return self.outcome is Outcome.FAIL and self.blame is Blame.KERNEL

    @property
    def usable(self) -> bool:
        """Did the right kernel come up on a sound board, so that its iterations may count?"""
        return self.booted and (self.outcome in (Outcome.PASS, Outcome.DONE) or self.died_of_kernel)


@dataclass(frozen=True, slots=True)
class TestResult:
    """One suite test on one boot; the same `name` on both sides is compared."""

    __test__ = False  # not a pytest class, whatever its name begins with

    name: str
    side: Side
    outcome: Outcome
    blame: Blame | None = None
    message: str = ""
    boot: str = ""
    seconds: float = 0.0
    proof: bool = False
    """Counts of its suite rest on it: if it fails, what was not counted may have been there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The stopping rule and the expectation, both fixed before the run."""

    iterations: Mapping[Side, Mapping[str, int]]
    """Planned iterations (rounds, for concurrent clients) per side and workload, over all boots."""
    expect: Expect = Expect.FIX
    min_boots: int = 2
    """Boots a side must have for `fixed`; fewer say nothing about what differs from boot to boot."""
    identical: str = ""
    """Why the two builds cannot differ; empty if they can."""
    interrupted: str = ""
    """Why the run stopped early (Ctrl-C, time limit); empty if it ran to its end."""
    known: Sequence[KnownFinding] = ()
    """Findings that are known, whoever makes them."""
    tests: frozenset[str] = frozenset()
    """Tests that were to run, and have a result unless a kernel died before."""
    extended: bool = False
    """*before* was given what `extension` asked for; it is in `iterations`, and there is no second time."""


@dataclass(frozen=True, slots=True)
class WorkloadVerdict:
    """One workload judged. The p values are Holm-adjusted over the workloads of its role; None without evidence."""

    name: str
    role: Role
    verdict: Verdict
    before: SideResult
    after: SideResult
    p_fewer: float | None
    p_more: float | None
    missable_rate: float
    """The highest *after* rate that would still have shown this few faults with a probability of at least 1 %."""
    reasons: tuple[str, ...] = ()
    clustered: bool = False
    """Rounds with several terminations: p is the larger of the one per termination and the one per round."""
    per_boot: bool = False
    new: tuple[NewFinding, ...] = ()
    """What is new in it."""
    variant: str = ""
    """The variant it ran in; its name has it, too."""


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """A suite test over all boots of both sides.

    `verdict`: clean, fixed, not-fixed (fails on both), regressed, inconclusive (boots do not agree), error, or
    unchanged (skipped on both).
    """

    __test__ = False

    name: str
    verdict: Verdict
    before: Outcome
    after: Outcome
    reason: str = ""
    message: str = ""
    """What the failing side said: *after*'s message if that failed, else *before*'s."""
    seconds: float = 0.0
    variant: str = ""
    """As of a workload."""
    proof: bool = False
    """As of its results."""
    failed_before: tuple[int, int] = (0, 0)
    """(boots of *before* in which it failed, those in which it failed or passed)."""
    failed_after: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """What the boots of one variant say by themselves: other kernels of the same sources, or other GPU parameters."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    boots: Mapping[Side, int] = field(default_factory=dict)
    """Boots that came up and count, per side."""


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The answer, its exit status, its numbers and its reasons in plain words."""

    verdict: Verdict
    exit: int
    reasons: tuple[str, ...]
    before: SideResult
    """All claim workloads together."""
    after: SideResult
    p_fewer: float | None = None
    """The largest over the claims: the one that has to be small for `fixed`."""
    p_more: float | None = None
    """The smallest over the claims: the one that makes it `regressed`."""
    missable_rate: float = 1.0
    """The largest over the claims."""
    workloads: tuple[WorkloadVerdict, ...] = ()
    tests: tuple[TestVerdict, ...] = ()
    new_findings: tuple[NewFinding, ...] = ()
    expect: Expect = Expect.FIX
    boots: Mapping[Side, int] = field(default_factory=dict)
    """Boots that came up and count, per side."""
    surprises: tuple[Surprise, ...] = ()
    """What changed though the patch does not claim it."""
    variants: tuple[VariantVerdict, ...] = ()
    """Of boots that are not the plain ones; only what is worse there, or could not be judged, is heard."""

    @property
    def asides(self) -> tuple[str, ...]:
        """What is new on *after*, or known, and blamed on nobody."""
        return unblamed(self.new_findings)

    @property
    def residual(self) -> tuple[WorkloadVerdict, ...]:
        """Watch workloads in which *after* shows something, or which went wrong: under the verdict, never hidden."""
        places = {finding.where for finding in self.new_findings}
        wrong = {Verdict.ERROR, Verdict.REGRESSED}
        return tuple(
            w
            for w in self.workloads
            if w.role is Role.WATCH and (w.after.faulty or w.after.lost or w.name in places or w.verdict in wrong)
        )


def exit_status(verdict: Verdict, expect: Expect, *, interrupted: bool = False) -> int:
    """The exit status that belongs to a verdict (README, "Exit status")."""
    if interrupted:
        return 130
    if verdict is Verdict.UNCHANGED:
        return 0 if expect is Expect.NO_CHANGE else 3
    return {
        Verdict.FIXED: 0,
        Verdict.CLEAN: 0,
        Verdict.REDUCED: 1,
        Verdict.NOT_FIXED: 1,
        Verdict.REGRESSED: 1,
        Verdict.INCONCLUSIVE: 3,
        Verdict.ERROR: 4,
    }[verdict]
