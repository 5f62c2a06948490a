# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker is to do, as the controller writes it down for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panthorlab.board.boardtime import TimeName
from panthorlab.board.methods import AUTO
from panthorlab.jsonvalue import JsonObject
from panthorlab.run.record.codec import decode


@dataclass(frozen=True)
class Job:
    """What a worker is to do, as JSON in its boot directory. `arm`: whose `kernel` it boots. `board`: its file. `done`:
    what is not to be repeated.

    `index` of `boots`: its share of the arm's iterations. `claims`: of those of claim workloads, how many of one are
    this arm's. `boot_method`, `time`, `fresh`: as for `Board.boot`. `extra`: what the arm runs on top of its plan,
    iterations by workload over all such boots; None in the boots of the plan. Plain tests then run only with
    `plain_tests`, and are not counted. `tests`: SUITE::TEST that run; None: all. `at_most`: iterations of
    a workload whose test does not ask for this kernel; None: as planned. `coverage`: the map of the kernel's lines, if
    what runs of them is to be measured. `recording`: the file for what the driver does to the GPU's registers, below
    `log_dir`, if that is to be recorded. `until`: the iteration after which the boot ends; None: as planned.
    `workloads`: those that run, of whatever role, each as often as `iterations` says; None: all.
    """

    board: str
    kernel: str
    arm: str
    slot: str
    boot: str
    index: int
    boots: int
    run_dir: str
    log_dir: str
    suites: tuple[str, ...]
    iterations: int | None
    seed: int
    claims: float = 1.0
    params: Mapping[str, str] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    done_tests: tuple[str, ...] = ()
    overlay: str | None = None
    boot_method: str = AUTO
    time: TimeName | None = None
    fresh: bool = True
    extra: Mapping[str, int] | None = None
    plain_tests: bool = True
    tests: tuple[str, ...] | None = None
    at_most: int | None = None
    coverage: str | None = None
    recording: str | None = None
    until: str | None = None
    workloads: tuple[str, ...] | None = None

    @classmethod
    def read(cls, fields: JsonObject) -> Job:
        """From the JSON object that `record.codec.encode` makes of it."""
        return decode(cls, fields)
