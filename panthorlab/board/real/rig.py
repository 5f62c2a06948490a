# SPDX-License-Identifier: GPL-2.0-or-later
"""Acquire a real board: lease it, acquire its labgrid place, open console and power; release everything at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from panthorlab.board.lab import lab_dir, lease
from panthorlab.board.power import open_power
from panthorlab.board.real.console.console import open_console
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.parts import Rig, SecureShell
from panthorlab.board.real.ssh.connect import connect
from panthorlab.board.steps import StepName, Steps
from panthorlab.errors import LabError, PanthorlabError

LEASE_WAIT: Final = 30.0
"""Seconds to wait for a board that another run is about to release."""


@contextmanager
def open_rig(
    name: str,
    file: RealFile,
    *,
    run_dir: Path,
    log_dir: Path,
    progress: Callable[[str], None],
    despite_quarantine: bool = False,
    steps: Steps | None = None,
) -> Iterator[Rig]:
    """The board, for as long as the context lasts. Raises LabError: leased by another, quarantined, no console, …

    The console is read from here on, so no output between power-on and the first wait is lost. A board that was left
    off is switched on.
    """
    with ExitStack() as held:
        steps = steps or Steps()
        with steps(StepName.LEASE):
            ours = held.enter_context(
                lease(name, run_dir, wait=LEASE_WAIT, despite_quarantine=despite_quarantine, on_note=progress)
            )
            file = held.enter_context(_placed(file, name, progress))
        if file.console is None or file.power is None or file.ssh is None:
            raise LabError(f"board {name} has no console, no power or no SSH")  # file.py and labgrid have seen to it
        with steps(StepName.CONSOLE):
            console = open_console(file.console, log_dir / "console.log")
            held.callback(console.close)
            power = held.enter_context(open_power(file.power, board=name, state_dir=lab_dir(), progress=progress))
            if power.left_off or power.state() is False:
                progress("switch on: the board was left off")
                power.on()
        ssh = file.ssh

        def reach(timeout: float, *, why_lost: Callable[[], PanthorlabError] | None = None) -> SecureShell:
            return connect(ssh, board=name, lab_dir=lab_dir(), timeout=timeout, why_lost=why_lost)

        yield Rig(
            name=name,
            file=file,
            console=console,
            power=power,
            connect=reach,
            log_dir=log_dir,
            progress=progress,
            check_lease=ours.check,
            steps=steps,
        )


@contextmanager
def _placed(file: RealFile, name: str, progress: Callable[[str], None]) -> Iterator[RealFile]:
    """The board file, completed with the resources of its labgrid place. Joins the run's acquisition, if it has one."""
    if file.labgrid is None:
        yield file
        return
    from panthorlab.board.real.labgrid.acquire import acquire

    with acquire(file.labgrid, owner=f"panthorlab-{name}", lab_dir=lab_dir(), timeout=600, progress=progress) as place:
        yield place.onto(file)
