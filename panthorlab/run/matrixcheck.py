# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab matrix --dry-run`: which kernels there are and which would be built, on what they would run, for how
long; and nothing of it done."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from panthorlab.board.board import Board
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.job import prepare_kernel
from panthorlab.kernel.source.prebuilt import is_url
from panthorlab.kernel.source.spec import UnknownYetError
from panthorlab.outcome import Side
from panthorlab.run import estimate, fleet
from panthorlab.run.check import INCONCLUSIVE, is_warm, kernel_of
from panthorlab.run.suites import find_suites
from panthorlab.text import readable


class MatrixRow(TypedDict):
    """A kernel by the word that asks for it. `key`, `title`: null of one that is given, or is not known yet; `unknown`:
    why not."""

    asked: str
    key: str | None
    title: str | None
    stored: bool
    unknown: str | None


class MatrixProspect(TypedDict):
    """`minutes`: null for real boards, and where a kernel is not known."""

    exit: int
    kernels: list[MatrixRow]
    suites: list[str]
    boards: list[str]
    minutes: float | None


def main(options: argparse.Namespace, boards: Sequence[Board]) -> int:
    """Print it. 0: it would run; 3: a source must be unpacked before more is known."""
    suites = list(find_suites(options.suite))
    fragments = fleet.fragments_of(fleet.named(options), options.config)
    plans: list[SidePlan] = []
    rows: list[MatrixRow] = []
    for source in options.source:
        try:
            plan = prepare_kernel(source, (), fragments=fragments, look=True)
        except UnknownYetError as error:
            rows.append({"asked": source, "key": None, "title": None, "stored": False, "unknown": str(error)})
            continue
        fleet.check_release(boards, plan.base.version)
        plans.append(plan)
        rows.append({"asked": source, "unknown": None, **kernel_of(plan)})
    rows += [_given(name) for name in options.kernel]
    prospect: MatrixProspect = {
        "exit": INCONCLUSIVE if any(row["unknown"] for row in rows) else 0,
        "kernels": rows,
        "suites": suites,
        "boards": [board.name for board in boards],
        "minutes": None,
    }
    if not prospect["exit"] and all(board.emulated for board in boards):
        prospect["minutes"] = _minutes(options, plans, len(rows), suites)
    print(json.dumps(prospect, indent=1) if options.json else readable("\n".join(_lines(prospect))))
    return prospect["exit"]


def _given(name: str) -> MatrixRow:
    """A kernel that is built. Raises UsageError if the store does not have it; the others show when they are taken."""
    other = is_url(name) or Path(name).is_dir() or name.endswith(tuple(f":{side}" for side in Side))
    if not other and sum(path.name.startswith(name) for path in store.directories()) != 1:
        store.find(name)  # which raises, and says what there is
    return {"asked": name, "key": None, "title": None, "stored": True, "unknown": None}


def _minutes(options: argparse.Namespace, plans: Sequence[SidePlan], kernels: int, suites: Sequence[str]) -> float:
    """Half of what two sides take, for each kernel, and builds: each tree has a first one of its own."""
    missing: dict[str, SidePlan] = {plan.key: plan for plan in plans if not kernel_of(plan)["stored"]}
    seconds = sum(estimate.build_seconds(1, warm=is_warm(plan)) for plan in missing.values())
    seconds += sum(estimate.UNPACKED for plan in missing.values() if not plan.base.path.is_dir())
    seconds += kernels * estimate.boot_seconds(suites, options.boots, options.jobs, options.iterations) / 2
    return round(seconds / 60, 1)


def _lines(prospect: MatrixProspect) -> list[str]:
    lines = []
    for row in prospect["kernels"]:
        if row["key"]:
            stored = "in the store" if row["stored"] else "to be built"
            lines.append(f"kernel  {row['asked']}: {row['key'][:16]}  {stored}  {row['title']}")
        else:
            lines.append(f"kernel  {row['asked']}: {row['unknown'] or 'as it is'}")
    lines += [f"suites  {', '.join(prospect['suites'])}", f"boards  {', '.join(prospect['boards'])}"]
    if prospect["exit"]:
        lines.append("cannot tell how long: have sources unpacked first (panthorlab build --base SRC)")
    elif prospect["minutes"] is None:
        lines.append("time    not known for a real board")
    else:
        lines.append(f"time    about {prospect['minutes']:g} min, as recorded on an idle machine with two cores")
    return lines
