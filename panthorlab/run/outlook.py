# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tests a job would run, told before there is a kernel, and without anything being written."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.kernel.build.config import read_fragments
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.driver import requested
from panthorlab.run.kernels import parse_params
from panthorlab.run.needs import without
from panthorlab.run.planning import overlays_missing
from panthorlab.run.record import Need, Planned
from panthorlab.run.suites import find_suites, named_suites
from panthorlab.run.survey import survey
from panthorlab.run.variants import DEBUG, Offer, plan_variants


def outlook(options: argparse.Namespace, boards: Sequence[Board], sides: Iterable[SidePlan]) -> Planned:
    """Where each test of the suites of a `validate` would run. What a kernel that is not built yet will have is taken
    from the fragments of its configuration. Raises UsageError for suites that make no sense."""
    needs = survey(find_suites(options.suite).values(), leave_nothing=True)
    fragments = {*DEBUG, *(name for need in needs for name in need.kernel)}
    configs = [{option.name: option.value for option in read_fragments(side.fragments).options} for side in sides]
    return plan_variants(
        needs,
        Offer(
            deep=options.deep,
            lacking=frozenset(name for config in configs for name in without(config, fragments)),
            boards=boards,
            named=named_suites(options.suite),
            params=parse_params(options.param),
            without=_missing(options.overlay, needs, boards),
            drivers=list(dict.fromkeys(map(requested, configs))),
        ),
    )


def suites_of(tests: Iterable[str], among: Iterable[str]) -> list[str]:
    """Those of the suites `among` that have one of `tests`, SUITE::TEST, in their order."""
    wanted = {test.partition("::")[0].replace("_", "-") for test in tests}
    return [suite for suite in among if suite in wanted]


def _missing(overlay: str | None, needs: Sequence[Need], boards: Sequence[Board]) -> frozenset[str]:
    """An overlay that is named would be made; of a directory it can be seen what it has."""
    folder = Path(overlay) if overlay and Path(overlay).is_dir() else None
    return overlays_missing(needs, folder, boards) - {overlay or ""}
