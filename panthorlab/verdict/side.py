# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of one side of a workload: together, by boot and by board."""

from __future__ import annotations

from dataclasses import dataclass

from panthorlab.outcome import Side


@dataclass(frozen=True, slots=True)
class KernelRef:
    """Which kernel a side was: its store key, and the build-id that the booted one proved."""

    kernel: str
    build_id: str | None = None


@dataclass(frozen=True, slots=True)
class BootCount:
    """The counts of one workload (or of all claims) in one boot."""

    boot: str
    iterations: int
    faulty: int
    errors: int = 0
    board: str = ""


@dataclass(frozen=True, slots=True)
class BoardCount:
    """The counts of one workload (or of all claims) on one board: a stratum."""

    board: str
    iterations: int
    faulty: int
    errors: int = 0


@dataclass(frozen=True, slots=True)
class SideResult:
    """Numbers of one side.

    `iterations` is the denominator: terminations where rounds have several of them, boots where boots are counted.
    """

    side: Side
    kernel: KernelRef
    iterations: int = 0
    faulty: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    """Wilson 95 % interval of faulty/iterations."""
    rounds: int = 0
    """Iterations as they were run: differs from `iterations` only in the two cases above."""
    faulty_rounds: int = 0
    planned: int = 0
    errors: int = 0
    """Iterations that cannot count because of the lab or the test."""
    lost: int = 0
    """Iterations that were never finished because the kernel died."""
    skipped: int = 0
    cut: int = 0
    """Iterations left out by the stopping rule, because the first ones of a boot all failed."""
    missing: int = 0
    """Planned iterations of which there is no record, and no dead kernel that explains it."""
    boots: tuple[BootCount, ...] = ()
    disagreement: float = 1.0
    """p of the hypothesis that all boots of a board have one rate; boards may differ, they are strata."""

    @property
    def boards(self) -> tuple[BoardCount, ...]:
        """The boots of each board taken together."""
        by_board: dict[str, list[BootCount]] = {}
        for boot in self.boots:
            by_board.setdefault(boot.board, []).append(boot)
        return tuple(
            BoardCount(name, sum(b.iterations for b in own), sum(b.faulty for b in own), sum(b.errors for b in own))
            for name, own in sorted(by_board.items())
        )

    @property
    def rate(self) -> float:
        return self.faulty / self.iterations if self.iterations else 0.0
