# SPDX-License-Identifier: GPL-2.0-or-later
"""What the controller tells a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panthorlab.board.methods import AUTO
from panthorlab.outcome import Side


@dataclass(frozen=True)
class Job:
    """What a worker is told, as JSON in its boot directory. `board`: its file. `done`: what is not to be repeated.

    `boot_method`, `fresh`: as for `Board.boot`. `extra`: what *before* runs on top of its plan, iterations by workload
    over all such boots; None in the boots of the plan. Plain tests then run only with `plain_tests`, and are not
    counted. `tests`: SUITE::TEST that run; None: all. `at_most`: iterations of a workload whose test does not ask for
    this kernel; None: as planned. `coverage`: the map of the kernel's lines, if what runs of them is to be measured.
    """

    board: str
    kernel: str
    side: Side
    slot: str
    boot: str
    index: int
    boots: int
    run_dir: str
    log_dir: str
    suites: tuple[str, ...]
    expect_fix: bool
    iterations: int | None
    seed: int
    params: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    done_tests: tuple[str, ...] = ()
    overlay: str | None = None
    boot_method: str = AUTO
    fresh: bool = True
    extra: Mapping[str, int] | None = None
    plain_tests: bool = True
    tests: tuple[str, ...] | None = None
    at_most: int | None = None
    coverage: str | None = None
