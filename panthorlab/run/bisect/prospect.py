# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab bisect --dry-run`: how much there is to search, as far as is known without building or booting."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Sequence
from typing import Final, TypedDict

from panthorlab.board.board import Board
from panthorlab.kernel.job import prepare_kernel
from panthorlab.kernel.source.commits import History
from panthorlab.run import estimate, fleet
from panthorlab.run.check import KernelJson, is_warm, kernel_of
from panthorlab.text import readable

SURE: Final = 3
"""Boots that show a solid fault, or its absence, where one would not do: of both ends, of the parent and of the tip."""


class BisectProspect(TypedDict):
    """`builds`, `boots`, `minutes`: for a solid fault, if each commit makes another kernel. `minutes`: null for real
    boards."""

    exit: int
    commits: int
    skipped: int
    ends: dict[str, KernelJson]
    suites: list[str]
    boards: list[str]
    builds: int
    boots: int
    minutes: float | None


def show(
    options: argparse.Namespace,
    history: History,
    skips: Collection[str],
    boards: Sequence[Board],
    suites: Sequence[str],
) -> int:
    """Print it. Returns the exit status."""
    fragments = fleet.fragments_of(boards, options.config)
    ends = {
        name: prepare_kernel(f"{history.repository}@{commit}", (), fragments=fragments, look=True)
        for name, commit in (("good", history.good[0]), ("bad", history.bad))
    }
    for plan in ends.values():
        fleet.check_release(boards, plan.base.version)
    steps = max(0, len(history.commits) - 1).bit_length()
    stored = sum(kernel_of(plan)["stored"] for plan in ends.values())
    builds = 2 - stored + steps + 2  # the culprit's parent may not have been built, the tip without it was not
    boots = 2 * SURE + steps + 1 + 2 * SURE
    seconds = estimate.build_seconds(builds, warm=is_warm(ends["bad"]))
    seconds += boots * estimate.boot_seconds(suites, 1, 1, options.iterations) / 2
    prospect: BisectProspect = {
        "exit": 0,
        "commits": len(history.commits),
        "skipped": len(skips),
        "ends": {name: kernel_of(plan) for name, plan in ends.items()},
        "suites": list(suites),
        "boards": [board.name for board in boards],
        "builds": builds,
        "boots": boots,
        "minutes": round(seconds / 60, 1) if all(board.emulated for board in boards) else None,
    }
    print(json.dumps(prospect, indent=1) if options.json else readable("\n".join(_lines(prospect))))
    return prospect["exit"]


def _lines(prospect: BisectProspect) -> list[str]:
    skipped = f", {prospect['skipped']} of them skipped" if prospect["skipped"] else ""
    lines = [f"search  {prospect['commits']} commits{skipped}"]
    for name, kernel in prospect["ends"].items():
        stored = "in the store" if kernel["stored"] else "to be built"
        lines.append(f"{name:7} {kernel['key'][:16]}  {stored}  {kernel['title']}")
    lines += [f"suites  {', '.join(prospect['suites'])}", f"boards  {', '.join(prospect['boards'])}"]
    if prospect["minutes"] is None:
        lines.append("time    not known for a real board")
    else:
        idle = "as recorded on an idle machine with two cores"
        lines += [
            f"time    about {prospect['minutes']:g} min, {idle}, for a solid fault",
            f"        ({prospect['builds']} builds, {prospect['boots']} boots); a fault that comes seldom takes longer",
        ]
    return lines
