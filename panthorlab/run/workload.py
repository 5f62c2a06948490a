# SPDX-License-Identifier: GPL-2.0-or-later
"""A workload as a suite declares it: what to run on the board, how often, and which findings make it faulty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from panthorlab.kmsg.patterns import MULTI_SHOT, ONCE_PER_BOOT
from panthorlab.outcome import Role

# With 228 clean iterations, a rate of 2 % would have shown itself with 99 % certainty.
DEFAULT_ITERATIONS: Final = 240


@dataclass(frozen=True)
class Workload:
    """One workload.

    `name`: PROGRAM/mode, unique over all suites. `argv`: program of the board's work directory, or with its whole path,
    and its arguments; `env`: NAME=VALUE, added to its environment.
    `finds`: kinds of finding that make an iteration faulty. `iterations`: per arm and run (of claims, where an arm has
    a part of them only, all). `deadline`: seconds one iteration may take on the emulated board.
    `expect_signal`: the signal the program dies of when all is well, 0 for exit status 0.
    `sentinel`: whether a fresh process's job proves afterwards that the GPU is done with the iteration.
    `per_boot`: what it finds is told once per boot, as by WARN_ONCE, so that boots are counted; None: if that is so of
    all those kinds. `bulk`: how many others one of it is worth where only detectors look on, and few iterations do.
    """

    name: str
    argv: tuple[str, ...]
    role: Role = Role.CLAIM
    finds: tuple[str, ...] = ("mmu-fault",)
    iterations: int = DEFAULT_ITERATIONS
    deadline: float = 10.0
    expect_signal: int = 0
    sentinel: bool = True
    per_boot: bool | None = None
    env: tuple[str, ...] = ()
    bulk: int = 1

    def planned(self, *, override: int | None, claims: float = 1.0, named: bool = False) -> int:
        """Iterations of one arm over the whole run. `override` is `--iterations`, for claim workloads and those that
        are `named` only; `claims`: the part of these that the arm has."""
        if self.role is not Role.CLAIM and not named:
            return self.iterations
        total = self.iterations if override is None else override
        return min(total, max(1, round(total * claims)))

    def few(self, at_most: int) -> int:
        """Iterations where others have at most `at_most`."""
        return max(1, at_most // self.bulk)

    def counted_per_boot(self, once: frozenset[str]) -> bool:
        """Whether the unit is the boot, on a kernel that reports the kinds in `once` a single time."""
        return bool(self.finds) and once.issuperset(self.finds) if self.per_boot is None else self.per_boot


def once_per_boot(command_line: str) -> frozenset[str]:
    """The kinds of finding that a kernel booted with `command_line` reports only once."""
    options = command_line.split()
    return frozenset(kind.value for kind in ONCE_PER_BOOT if MULTI_SHOT.get(kind) not in options)


def share(total: int, slot: int, slots: int) -> int:
    """Part of `total` that falls to boot number `slot` (0-based) of `slots`; the parts add up to `total`."""
    return total // slots + (1 if slot < total % slots else 0)
