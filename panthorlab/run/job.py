# SPDX-License-Identifier: GPL-2.0-or-later
"""What the controller tells a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panthorlab.outcome import Side


@dataclass(frozen=True)
class Job:
    """What a worker is told, as JSON in its boot directory. `done`: what is not to be repeated."""

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
