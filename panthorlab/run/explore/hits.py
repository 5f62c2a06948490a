# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether an event that was aimed at a block of the driver came there: the board has written down at which block the
CPU was held for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.gpu.exact.passed import FILE, held_for
from panthorlab.gpu.targets import Target, parse_targets
from panthorlab.run.explore.aim import INSTRUCTION_NS, Aim
from panthorlab.run.explore.orders import Interleaving
from panthorlab.run.job import Job


@dataclass
class Hits:
    """Of one workload: `missed` came at another block or in other code, or did not come at all. `pairs`: the kinds of
    event and addresses of blocks that were hit."""

    hit: int = 0
    missed: int = 0
    pairs: set[tuple[str, int | None]] = field(default_factory=set)

    def add(self, target: Target, *, hit: bool) -> None:
        self.hit, self.missed = self.hit + hit, self.missed + (not hit)
        if hit:
            self.pairs.add((target.kind, target.address))

    def of(self, aims: Collection[Aim]) -> dict[str, int]:
        """In numbers, with what there is to be hit."""
        pairs = {(aim.kind, aim.address) for aim in aims}
        return {
            "aims": len(aims),
            "hit": self.hit,
            "missed": self.missed,
            "blocks": len({address for _, address in pairs}),
            "blocks_hit": len({address for _, address in self.pairs}),
            "pairs": len(pairs),
            "pairs_hit": len(self.pairs),
        }


def targets_in(log_dir: Path) -> Mapping[int, Target]:
    """By window, which event a boot was told to move, and to which block. Raises OSError."""
    job = Job.read(json.loads((log_dir / "job.json").read_text()))
    return {one.window: one for one in parse_targets(job.params.get("exact.target", ""))}


def came_there(log_dir: Path, one: Interleaving, target: Target) -> bool:
    """Whether the event came at the block in this iteration. Raises OSError."""
    drawn = one.drawn(target.kind, target.number)
    if drawn is None:
        return False
    held = held_for(log_dir / FILE, drawn.count + drawn.ns // INSTRUCTION_NS)
    return held is not None and held.address == target.address
