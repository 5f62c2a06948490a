# SPDX-License-Identifier: GPL-2.0-or-later
"""Decide, once a run, where each test runs, and put it on record; what a resumed run finds there, holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.kernel.driver import driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.run.kernels import parse_params
from panthorlab.run.needs import lacking
from panthorlab.run.overlay_need import is_in
from panthorlab.run.record import Event, Need, Needs, Planned, Settings
from panthorlab.run.record.log import EventLog
from panthorlab.run.suites import find_suites, named_suites
from panthorlab.run.survey import survey
from panthorlab.run.variantresults import needs as asked_for
from panthorlab.run.variantresults import plan_of
from panthorlab.run.variants import DEBUG, Offer, plan_variants


def record_needs(log: EventLog, needs: Iterable[Need]) -> None:
    """Right at the start: what the suites ask for must not change under a run."""
    log.append(Needs(tests=tuple(needs)))


def planned(
    log: EventLog,
    events: Sequence[Event],
    settings: Settings,
    kernels: Iterable[Kernel],
    boards: Sequence[Board],
    *,
    no_build: str,
    plain: bool = True,
) -> Planned:
    """Where every test runs: as the log says, else decided now. `no_build`: why no kernel can be built, or empty.
    `plain`: the plain kernels are worth booting; if not, only other kernels of the same sources are."""
    if (done := plan_of(events)) is not None:
        return done
    asked = asked_for(events)
    needs = survey(find_suites(settings.suite).values()) if asked is None else asked.tests  # of an earlier version
    kernels = tuple(kernels)
    fragments = {*DEBUG, *(name for need in needs for name in need.kernel)}
    plan = plan_variants(
        needs,
        Offer(
            deep=settings.deep,
            lacking=frozenset(name for kernel in kernels for name in lacking(kernel, fragments)),
            boards=boards,
            named=named_suites(settings.suite),
            no_build=no_build,
            without=overlays_missing(needs, Path(settings.overlay) if settings.overlay else None, boards),
            params=parse_params(settings.param),
            drivers=list(dict.fromkeys(map(driver_of, kernels))),
        ),
    )
    if not plain:
        kept = tuple(variant for variant in plan.variants if variant.fragments)
        plan = Planned(plain=(), variants=kept, left_out=plan.left_out)
    return log.append(plan)


def overlays_missing(needs: Iterable[Need], folder: Path | None, boards: Sequence[Board]) -> frozenset[str]:
    """Overlays that tests want and bare boards were not given in `folder`. What another board has, only it knows."""
    if not all(board.bare for board in boards):
        return frozenset()
    return frozenset(need.overlay for need in needs if need.overlay and not is_in(folder, need.overlay))


def tests_run_once(events: Sequence[Event], plan: Planned) -> bool:
    """Whether tests that count nothing run in the first boot of each arm and board alone: if counts need the others.
    What fails there on one arm and not on another is in doubt, and runs again (`panthorlab.verdict.suite`)."""
    asked = asked_for(events)
    counted = {need.test for need in (asked.tests if asked else ()) if need.counted}
    return not counted.isdisjoint(plan.plain)
