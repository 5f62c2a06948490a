# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether an event that was aimed at a block of the driver came there: the board has written down at which block the
CPU was held for it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.gpu.exact.passed import FILE, held_for
from panthorlab.gpu.latency import Override, parse_overrides
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

    def add(self, aim: Aim, *, hit: bool) -> None:
        self.hit, self.missed = self.hit + hit, self.missed + (not hit)
        if hit:
            self.pairs.add(_pair(aim))

    def of(self, aims: Collection[Aim]) -> dict[str, int]:
        """In numbers, with what there is to be hit."""
        pairs = {_pair(aim) for aim in aims}
        return {
            "aims": len(aims),
            "hit": self.hit,
            "missed": self.missed,
            "blocks": len({address for _, address in pairs}),
            "blocks_hit": len({address for _, address in self.pairs}),
            "pairs": len(pairs),
            "pairs_hit": len(self.pairs),
        }


def _pair(aim: Aim) -> tuple[str, int | None]:
    return aim.drawn.kind, aim.address


def aim_of(moved: Override, aims: Collection[Aim]) -> Aim:
    """Which of the aims an override is."""
    key = moved.kind, moved.number, moved.ns
    return next(aim for aim in aims if (aim.drawn.kind, aim.drawn.number, aim.drawn.ns) == key)


def moved_in(log_dir: Path, window: int) -> Override | None:
    """The latency that a boot was told to have in an iteration; None if there is none. Raises OSError."""
    job = Job.read(json.loads((log_dir / "job.json").read_text()))
    overrides = parse_overrides(job.params.get("exact.override", ""))
    return next((one for one in overrides if one.window == window), None)


def came_there(log_dir: Path, one: Interleaving, aim: Aim) -> bool:
    """Whether the moved event came at the block in this iteration. Raises OSError."""
    drawn = one.drawn(aim.drawn.kind, aim.drawn.number)
    if drawn is None:
        return False
    held = held_for(log_dir / FILE, drawn.count + drawn.ns // INSTRUCTION_NS)
    return held is not None and held.address == aim.address
