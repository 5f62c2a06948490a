# SPDX-License-Identifier: GPL-2.0-or-later
"""What a night asks of `panthorlab run` and `panthorlab bisect`: their options, parsed as those of a command line, so
that what nightly.yaml does not say is as it is there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from panthorlab.arguments import add_board, add_driver, add_jail, add_lab, add_output, add_run
from panthorlab.bisect_options import add_bisect
from panthorlab.nightly.plan import KernelPlan, NightlyPlan
from panthorlab.parser import Parser


def run_options(
    plan: NightlyPlan, kernel: KernelPlan, *, key: str, output: Path, overlay: Path | None, no_jail: bool
) -> argparse.Namespace:
    """Of `panthorlab run`, of the kernel with this store key."""
    parser = Parser(prog="panthorlab run")
    add_driver(parser, "take")
    for add in (add_jail, add_board, add_lab, add_run, add_output):
        add(parser)
    parser.set_defaults(kernel=key, recording=None, workload=[])
    options = parser.parse_args([*_common(plan, kernel, no_jail=no_jail), "--boots", str(plan.file.boots)])
    options.deep = plan.file.deep
    options.output, options.overlay = output, overlay
    return options


def bisect_options(
    plan: NightlyPlan,
    kernel: KernelPlan,
    *,
    mirror: Path,
    near: str,
    ends: tuple[str, str],
    signature: str,
    output: Path,
    overlay: Path | None,
    no_jail: bool,
) -> argparse.Namespace:
    """Of `panthorlab bisect`. `ends`: good and bad. `near`: the commit in whose private tree it builds, if that is not
    the bad end's."""
    parser = Parser(prog="panthorlab bisect")
    add_bisect(parser)
    argv = _common(plan, kernel, no_jail=no_jail)
    argv += ["--base", str(mirror), "--good", ends[0], "--bad", ends[1], "--boots", str(plan.file.bisect.boots)]
    argv += [part for name in kernel.fragments for part in ("--config", name)]
    options = parser.parse_args([*argv, f"--signature={signature}"])
    options.output, options.tree = output, near
    options.overlay = str(overlay) if overlay else None
    return options


def _common(plan: NightlyPlan, kernel: KernelPlan, *, no_jail: bool) -> list[str]:
    return list(_arguments(plan, kernel, no_jail=no_jail))


def _arguments(plan: NightlyPlan, kernel: KernelPlan, *, no_jail: bool) -> Iterator[str]:
    """`--NAME=VALUE`: a value may begin with a dash."""
    file = plan.file
    yield from (f"--board={name}" for name in kernel.boards)
    yield from (f"--suite={name}" for name in plan.suites)
    yield from (f"--param={name}" for name in file.param)
    yield from (f"--jobs={file.jobs}", f"--seed={file.seed}", f"--wait={file.wait}")
    if file.time:
        yield f"--time={file.time}"
    if file.iterations:
        yield f"--iterations={file.iterations}"
    if no_jail:
        yield "--no-jail"
