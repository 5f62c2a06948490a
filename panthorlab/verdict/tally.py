# SPDX-License-Identifier: GPL-2.0-or-later
"""Sorting iterations into what counts and what does not, and counting them per side, workload and boot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from panthorlab.outcome import Blame, Outcome, Side
from panthorlab.verdict.model import BootResult, IterationResult
from panthorlab.verdict.side import BootCount, KernelRef, SideResult
from panthorlab.verdict.stats import disagreement, wilson


class Use(Enum):
    """What an iteration is good for."""

    COUNTED = auto()
    ERROR = auto()
    """Ran, but the lab or the test spoiled it."""
    LOST = auto()
    """Not finished, and the kernel is to blame."""
    CUT = auto()
    """Left out by the stopping rule."""
    SKIPPED = auto()
    """Not applicable on this board."""
    VOID = auto()
    """Never ran, or ran in a boot that proves nothing (wrong kernel, dead board). Only its findings are looked at."""


def use_of(iteration: IterationResult, boots: Mapping[str, BootResult]) -> Use:
    """What `iteration` is good for, given the boots that are on record."""
    boot = boots.get(iteration.boot)
    if boot is None or not boot.usable:
        return Use.VOID
    if iteration.cut:
        return Use.CUT
    if iteration.counts:
        return Use.COUNTED
    if iteration.outcome is Outcome.SKIP:
        return Use.SKIPPED
    if boot.died_of_kernel or iteration.blame is Blame.KERNEL:
        return Use.LOST
    return Use.VOID if iteration.outcome is Outcome.MISS else Use.ERROR


@dataclass(frozen=True, slots=True)
class ByUse:
    """The iterations of one workload on one side, by use."""

    counted: tuple[IterationResult, ...]
    errors: tuple[IterationResult, ...]
    lost: tuple[IterationResult, ...]
    skipped: tuple[IterationResult, ...]
    cut: tuple[IterationResult, ...]

    @classmethod
    def of(cls, iterations: Iterable[IterationResult], boots: Mapping[str, BootResult]) -> ByUse:
        by_use: dict[Use, list[IterationResult]] = {use: [] for use in Use}
        for iteration in iterations:
            by_use[use_of(iteration, boots)].append(iteration)
        return cls(*(tuple(by_use[use]) for use in (Use.COUNTED, Use.ERROR, Use.LOST, Use.SKIPPED, Use.CUT)))


def side_result(
    side: Side,
    kernel: KernelRef,
    iterations: Iterable[IterationResult],
    boots: Mapping[str, BootResult],
    planned: int,
    *,
    per_boot: bool = False,
) -> SideResult:
    """Numbers of one workload on one side.

    `per_boot`: the unit is the boot, faulty if any of its iterations is.
    """
    by_use = ByUse.of(iterations, boots)
    by_boot: dict[str, list[IterationResult]] = {}
    for iteration in (*by_use.counted, *by_use.errors):
        by_boot.setdefault(iteration.boot, []).append(iteration)
    errors = set(by_use.errors)
    counts: list[BootCount] = []
    rounds: list[tuple[int, int]] = []
    for boot, members in sorted(by_boot.items()):
        counted = [iteration for iteration in members if iteration not in errors]
        faulty_rounds = sum(1 for iteration in counted if iteration.faulty)
        if per_boot:
            total, faulty = (1 if counted else 0), min(1, faulty_rounds)
            rounds.append((faulty, total))
        else:
            total = sum(iteration.terminations for iteration in counted)
            faulty = sum(iteration.faulty for iteration in counted)
            rounds.append((faulty_rounds, len(counted)))
        counts.append(BootCount(boot, total, faulty, len(members) - len(counted), boots[boot].board))
    total, faulty = sum(count.iterations for count in counts), sum(count.faulty for count in counts)
    recorded = (by_use.counted, by_use.errors, by_use.lost, by_use.skipped, by_use.cut)
    short = max(0, planned - sum(len(kept) for kept in recorded))
    died = any(boot.side is side and boot.died_of_kernel for boot in boots.values())
    return SideResult(
        side,
        kernel,
        total,
        faulty,
        wilson(faulty, total),
        rounds=len(by_use.counted),
        faulty_rounds=sum(1 for i in by_use.counted if i.faulty),
        planned=planned,
        errors=len(by_use.errors),
        lost=len(by_use.lost) + (short if died else 0),
        skipped=len(by_use.skipped),
        cut=len(by_use.cut),
        missing=0 if died else short,
        boots=tuple(counts),
        disagreement=_disagreement(counts, rounds),
    )


def _disagreement(boots: Sequence[BootCount], rounds: Sequence[tuple[int, int]]) -> float:
    """p of the hypothesis that on no board the boots differ (Bonferroni over the boards)."""
    by_board: dict[str, list[tuple[int, int]]] = {}
    for boot, counts in zip(boots, rounds, strict=True):
        by_board.setdefault(boot.board, []).append(counts)
    return min(1.0, len(by_board) * min(map(disagreement, by_board.values()), default=1.0))


def pooled(side: Side, kernel: KernelRef, parts: Sequence[SideResult]) -> SideResult:
    """Several workloads of one side taken together."""
    per_boot: dict[str, list[BootCount]] = {}
    for part in parts:
        for count in part.boots:
            per_boot.setdefault(count.boot, []).append(count)
    boots = tuple(
        BootCount(
            boot,
            sum(c.iterations for c in counts),
            sum(c.faulty for c in counts),
            sum(c.errors for c in counts),
            counts[0].board,
        )
        for boot, counts in sorted(per_boot.items())
    )
    total, faulty = sum(part.iterations for part in parts), sum(part.faulty for part in parts)
    return SideResult(
        side,
        kernel,
        total,
        faulty,
        wilson(faulty, total),
        rounds=sum(part.rounds for part in parts),
        faulty_rounds=sum(part.faulty_rounds for part in parts),
        planned=sum(part.planned for part in parts),
        errors=sum(part.errors for part in parts),
        lost=sum(part.lost for part in parts),
        skipped=sum(part.skipped for part in parts),
        cut=sum(part.cut for part in parts),
        missing=sum(part.missing for part in parts),
        boots=boots,
    )
