# SPDX-License-Identifier: GPL-2.0-or-later
"""The jobs of the workers of all planned boots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from panthorlab.board.board import Board
from panthorlab.run.arms import Arm
from panthorlab.run.job import Job
from panthorlab.run.kernels import parse_params
from panthorlab.run.plan import Slot, extension_slots
from panthorlab.run.record import Again, ExtensionEvent, Planned, Settings
from panthorlab.run.record.log import read_events

SEEDS_APART: Final = 1_000_000
"""Between the seeds of an arm's boots: in exact time, two with the same seed would be the same run twice."""


@dataclass(frozen=True)
class Jobs:
    """Makes the job of a slot. `suites`: their files. `arms`: by variant, "" for the plain boots. `claims`: by arm, the
    part of the iterations of claim workloads that it has; all if it is not there. `maps`: by a kernel's key, the map of
    its lines, if what runs of them is to be measured. `once`: tests that count nothing run in the first boot of each
    arm and board alone. `recording`: see `Job`.
    """

    run_dir: Path
    settings: Settings
    boards: Sequence[Board]
    suites: tuple[str, ...]
    plan: Planned
    arms: Mapping[str, Sequence[Arm]]
    claims: Mapping[str, float] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    recording: str | None = None

    def __call__(self, slot: Slot) -> Job:
        settings = self.settings
        boards = {board.key: str(board.path.resolve()) for board in self.boards}
        kernel = next(arm.kernel for arm in self.arms[slot.variant] if arm.label == slot.arm)
        job = Job(
            board=boards[slot.board],
            kernel=kernel.key,
            arm=slot.arm,
            slot=slot.name,
            boot="",
            index=slot.index,
            boots=settings.boots * len(boards),
            run_dir=str(self.run_dir),
            log_dir="",
            suites=self.suites,
            iterations=settings.iterations,
            seed=settings.seed + SEEDS_APART * slot.index,
            claims=self.claims.get(slot.arm, 1.0),
            params=parse_params(settings.param),
            overlay=settings.overlay,
            boot_method=settings.boot_method,
            time=settings.time,
            fresh=slot.fresh,
            plain_tests=not self.once or slot.index % settings.boots == 0,
            tests=self.plan.plain,
            coverage=self.maps.get(kernel.key),
            recording=self.recording,
            workloads=settings.workload or None,
        )
        if slot.variant:
            variant = next(one for one in self.plan.variants if one.name == slot.variant)
            job = replace(
                job,
                boots=len(boards),
                tests=variant.tests,
                plain_tests=True,
                claims=1.0,
                params={**job.params, **variant.params},
                at_most=variant.at_most,
            )
        if slot.extra:
            job = self._extra(slot, job)
        if slot.again:
            doubts = next(event for event in read_events(self.run_dir) if isinstance(event, Again))
            job = replace(job, tests=doubts.tests[slot.variant], plain_tests=True)
        return job

    def _extra(self, slot: Slot, job: Job) -> Job:
        """A boot in which an arm runs more than its plan."""
        events, boards = read_events(self.run_dir), [board.key for board in self.boards]
        more = next(event for event in events if isinstance(event, ExtensionEvent))
        return replace(
            job,
            index=slot.index - self.settings.boots * len(boards),
            boots=len(extension_slots(events, self.settings.boots, boards)),
            extra=more.iterations,
            plain_tests=more.boots > 0,
        )
