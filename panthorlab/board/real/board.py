# SPDX-License-Identifier: GPL-2.0-or-later
"""A real board: leases it, boots a kernel by one of its methods, proves the kernel's identity, and gives it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from panthorlab.board.api import BootedBoard
from panthorlab.board.real.file import RealFile
from panthorlab.kernel.model import Kernel


class RealBoard:
    """See `Board`."""

    def __init__(self, name: str, file: RealFile) -> None:
        self._name, self.file = name, file

    @property
    def name(self) -> str:
        return self._name

    @property
    def arch(self) -> str:
        return self.file.arch

    def boot(
        self, kernel: Kernel, *, log_dir: Path, overlay: Path | None = None, params: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = lambda _step: None, method: str = "auto", fresh: bool = True,
    ) -> BootedBoard:
        """See `Board.boot`."""
        raise NotImplementedError
