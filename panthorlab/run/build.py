# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab build`: both kernels of a patch (or one, without a patch) into the store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.errors import UsageError
from panthorlab.kernel.jail.sandbox import UNPROTECTED, sandbox
from panthorlab.kernel.job import prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.run import check, eachcommit, fleet
from panthorlab.run.hosts.address import access_of
from panthorlab.run.hosts.crew import DoBuild, crew_of
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.sides import sides_of
from panthorlab.text import readable


def main(options: argparse.Namespace) -> int:
    """Build; print one line a kernel: its key, build-id and title."""
    if options.dry_run:
        return check.main(options)
    progress = ProgressDisplay(quiet=options.quiet)
    output: Path = options.output or Path()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {output}: {error.strerror}", hint="choose a directory that you may write to"
        ) from error
    log = output / "build.log"
    boards = fleet.named(options)
    fragments = fleet.fragments_of(boards, options.config)
    if options.each_commit:
        if access_of(options) is not None:
            raise UsageError("--each-commit reads what a build leaves: it is made here", hint="leave out --hosts")
        sandbox()
        return eachcommit.main(options, fragments, log, progress)
    sandbox()  # before anything is downloaded: without a jail nothing of it will be built
    try:
        with crew_of(options, (), progress.note) as crew:
            kernels = _build(options, boards, fragments, log, progress, crew.build)
    finally:
        progress.finish()
    if options.json:
        print(
            json.dumps(
                {
                    name: {
                        "key": kernel.key,
                        "build_id": kernel.build_id,
                        "modules": dict(kernel.modules),
                        "title": kernel.title,
                        "jailed": kernel.jailed,
                        "path": str(kernel.path),
                    }
                    for name, kernel in kernels.items()
                },
                indent=1,
            )
        )
    else:
        for name, kernel in kernels.items():
            print(readable(f"{name:7} {kernel.key}  build-id {kernel.build_id[:16]}  {kernel.title}"))
    for name, kernel in kernels.items():
        if not kernel.jailed:
            print(f"panthorlab: {name} was {UNPROTECTED}", file=sys.stderr)
    return 0


def _build(
    options: argparse.Namespace,
    boards: Sequence[Board],
    fragments: Sequence[str],
    log: Path,
    progress: ProgressDisplay,
    build: DoBuild,
) -> dict[str, Kernel]:
    """The kernels that are asked for, by what they are called."""
    if not (options.patch or options.revert):
        plan = prepare_kernel(options.base, (), fragments=fragments, progress=progress.step)
        fleet.check_release(boards, plan.base.version)
        return {"base": build(plan, log=log, progress=progress.step, note=progress.line)}
    sides = sides_of(options, fragments, progress=progress.step)
    fleet.check_release(boards, sides.base.version)
    return {
        name: build(plan, log=log, progress=progress.step, note=progress.line, before=other)
        for name, plan, other in (("before", sides.before, None), ("after", sides.after, sides.before))
    }
