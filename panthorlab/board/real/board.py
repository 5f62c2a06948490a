# SPDX-License-Identifier: GPL-2.0-or-later
"""The kind `real`: hardware in a lab, which one run at a time can use."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panthorlab.board import lab
from panthorlab.board.board import Board, BoardRow, Fitness, Hardware, Patience
from panthorlab.board.boardtime import TimeName
from panthorlab.board.lab.state import Standing
from panthorlab.board.methods import AUTO
from panthorlab.board.real.file import RealFile
from panthorlab.board.steps import OnStep, Steps, unheard
from panthorlab.errors import UsageError
from panthorlab.kernel.model import Kernel

if TYPE_CHECKING:
    from panthorlab.board.real.booted import BootedRealBoard

MARGIN: Final = 1.2
SWITCHING: Final = 120.0
PROGRAM: Final = 120.0
"""Seconds that one iteration may take on the emulated board, including killing its processes afterwards."""


class RealBoard(Board):
    """See `Board`. Imports are deferred until needed, because SSH and HTTP cost start-up time."""

    model = RealFile
    file: RealFile

    @property
    def example(self) -> bool:
        return self.file.example

    @property
    def methods(self) -> Sequence[str]:
        return self.file.boot.methods

    @property
    def patience(self) -> Patience:
        limits, power = self.file.time_limits, self.file.power
        boot = limits.power + limits.uboot + limits.load + limits.kernel + limits.ssh + limits.probe
        switching = power.off_time + 2 * (power.settle + (power.retries + 1) * power.timeout) if power else 0.0
        switching = min(switching, SWITCHING)  # a person at the switch may take longer, and is told
        return Patience(step=MARGIN * max(boot, PROGRAM * limits.slowness), switching=switching)

    def check_release(self, release: str) -> None:
        since = self.file.since
        if since is not None and _numbers(release) < _numbers(since):
            raise UsageError(
                f"board {self.name} needs Linux {since} or newer: the device tree of {release} does not have its GPU",
                hint="name a newer --base, e.g. debian:VERSION; if your tree has it, take `since` out of the board's "
                "file",
            )

    def standing(self) -> Standing:
        return lab.standing(self.name)

    def row(self) -> BoardRow:
        return {**super().row(), "unverified": self.file.unverified}

    @contextmanager
    def leased(
        self, run_dir: Path, *, wait: float, on_note: Callable[[str], None], stop: threading.Event | None = None
    ) -> Iterator[Callable[[], None]]:
        """See `Board.leased`. The board's labgrid place, if any, is held for the same time."""

        def check() -> None:
            held.check()
            if sick := lab.standing(self.name).quarantine:
                raise lab.QuarantinedError(
                    f"board {self.name} was quarantined: {sick}",
                    hint=f"mend it, then `panthorlab boards release {self.name}`",
                )

        with lab.lease(self.name, run_dir, wait=wait, on_note=on_note, stop=stop) as held, ExitStack() as place:
            from panthorlab.board.real.labgrid.acquire import acquire
            from panthorlab.board.real.labgrid.records import release_stale

            if self.file.labgrid is None:  # what a run that was killed still holds goes back, whichever board is next
                release_stale(lab.lab_dir(), on_note)
            else:
                place.enter_context(
                    acquire(
                        self.file.labgrid,
                        owner=f"panthorlab-{self.name}",
                        lab_dir=lab.lab_dir(),
                        timeout=wait,
                        progress=on_note,
                        stop=stop,
                    )
                )
            yield check

    def check_in_lab(self) -> None:
        self.check_here()

    def trust(self, confirm: Callable[[str], bool]) -> Sequence[str]:
        self.check_in_lab()
        if self.file.ssh is None:
            raise UsageError(
                f"board {self.name} has no section `ssh`",
                hint="name its host there: its keys are pinned before it is used",
            )
        from panthorlab.board.real.ssh import hostkeys

        return hostkeys.trust(self.name, self.file.ssh, confirm=confirm, lab_dir=lab.lab_dir())

    def train(self, boots: int | None, progress: Callable[[str], None]) -> Fitness:
        self.check_in_lab()
        from panthorlab.board.real.train import train

        return train(self.name, self.file, boots, progress)

    def hardware(self) -> Hardware:
        boot = self.file.boot
        return Hardware(self.file.dtb, self.file.firmware.path, boot.log_level, boot.command_line)

    def boot(
        self,
        kernel: Kernel,
        *,
        log_dir: Path,
        overlay: Path | None = None,
        params: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = lambda _step: None,
        method: str = AUTO,
        fresh: bool = True,
        counts: Path | None = None,
        time: TimeName | None = None,
        on_step: OnStep = unheard,
    ) -> BootedRealBoard:
        """See `Board.boot`. `log_dir` is in the run's directory, which is shown to other users who want the board."""
        if counts is not None:
            raise UsageError(f"board {self.name} is a real one: it cannot count instructions", hint="no --coverage")
        self.check_time(time)
        self.check_kernel(kernel)
        from panthorlab.board.real.boot import boot, check

        check(self.name, self.file, kernel, params or {})
        self.check_method(method)
        return boot(
            self.name,
            self.file,
            kernel,
            log_dir=log_dir,
            overlay=overlay,
            on_progress=on_progress,
            method=method,
            fresh=fresh,
            steps=Steps(on_step),
        )


def _numbers(release: str) -> tuple[int, ...]:
    """`6.13.0-rc1` → (6, 13)."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])
