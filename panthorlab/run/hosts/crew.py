# SPDX-License-Identifier: GPL-2.0-or-later
"""Who does a run's builds and boots: processes of this machine, or, with `--hosts`, those of the machines behind a
scheduler."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from panthorlab.board.board import Board
from panthorlab.errors import UsageError
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.run.controller import DoBoot
from panthorlab.run.hosts.address import INSTALL, access_of
from panthorlab.run.worker import run_here


class DoBuild(Protocol):
    """Builds a kernel, as `job.build_side`."""

    def __call__(
        self,
        plan: SidePlan,
        /,
        *,
        log: Path,
        progress: Progress,
        note: Callable[[str], None],
        before: SidePlan | None = None,
    ) -> Kernel: ...


def build_here(
    plan: SidePlan,
    /,
    *,
    log: Path,
    progress: Progress = quiet,
    note: Callable[[str], None] = quiet,
    before: SidePlan | None = None,
) -> Kernel:
    """See `job.build_side`."""
    from panthorlab.kernel.job import build_side  # what boots a finished kernel needs none of it

    return build_side(plan, log=log, progress=progress, note=note, before=before)


@dataclass(frozen=True)
class Crew:
    """`boot` does one. `copies`: as many at once of a board that can be had in copies; None: `--jobs`. `stop`: that
    of runs that are `abreast`. `build` builds a kernel; `builds`: so many at once."""

    boot: DoBoot = run_here
    copies: int | None = None
    build: DoBuild = build_here
    builds: int = 1
    stop: threading.Event | None = None


HERE: Final = Crew()


@contextmanager
def crew_of(options: argparse.Namespace, boards: Sequence[Board], note: Callable[[str], None]) -> Iterator[Crew]:
    """Whom `--hosts` names. `note`: is told what they are. Raises UsageError, LabError."""
    access = access_of(options)
    if access is None:
        yield HERE
        return
    if fixed := [board.name for board in boards if not board.copies]:
        raise UsageError(
            f"board {fixed[0]} is where it is: --hosts is for boards that are made for each boot",
            hint="leave out --hosts, or use an emulated board",
        )
    try:
        from panthorlab.run.hosts.session import session
    except ImportError as error:
        raise UsageError(f"--hosts needs Dask's distributed: {error}", hint=INSTALL) from error
    with session(access, boots=bool(boards)) as found:
        note(found.described)
        yield Crew(found.boot, found.copies, found.build, max(1, found.builds))
