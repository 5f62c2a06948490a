# SPDX-License-Identifier: GPL-2.0-or-later
"""The kind `emulated`: a board that is created for each boot, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.methods import AUTO
from panthorlab.board.steps import OnStep, Steps, unheard
from panthorlab.checks import Check
from panthorlab.kernel.model import Kernel

if TYPE_CHECKING:
    from panthorlab.board.emulated.booted import BootedEmulatedBoard


class EmulatedBoard(Board):
    """See `Board`."""

    model = EmulatedFile
    file: EmulatedFile
    emulated = copies = bare = takes_params = counts = exact = True

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        from panthorlab.board.emulated.doctor import checks

        return checks()

    @classmethod
    def programs(cls) -> Mapping[str, str]:
        from panthorlab.board.emulated.qemu import find_qemu

        return {"QEMU": find_qemu().version}

    def time_for(self, wanted: TimeName | None) -> TimeName:
        return wanted or (self.file.time if self.file.gpu else TimeName.HOST)

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
    ) -> BootedEmulatedBoard:
        """See `Board.boot`. `params` also takes `seed` and `trace=on` (a Chrome trace in `log_dir`); in exact time also
        `exact.record=on` (all accesses in `log_dir`), `exact.orders=on` (the interleaving of each iteration there) and
        `exact.blocks=on` (a hash of all executed code). Every boot is fresh."""
        del fresh
        self.check_method(method)
        self.check_kernel(kernel)
        from panthorlab.board.emulated.boot import boot  # here: slow to import, needed by boots only

        return boot(
            self.name,
            self.file,
            kernel,
            log_dir=log_dir,
            overlay=overlay,
            params=params or {},
            on_progress=on_progress,
            counts=counts,
            time=self.time_for(time),
            steps=Steps(on_step),
        )
