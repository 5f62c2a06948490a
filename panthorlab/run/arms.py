# SPDX-License-Identifier: GPL-2.0-or-later
"""Arms: what a run boots and holds against each other, each a label and a kernel. A validation has *before* and
*after*, which only verdict and reports tell apart; a run of one kernel has that alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from panthorlab.kernel.build.toolchain import built_with
from panthorlab.kernel.model import Kernel
from panthorlab.run.record import ArmKernel

ALONE: Final = "kernel"
"""The label of the arm that nothing is compared with."""


@dataclass(frozen=True)
class Arm:
    """`label`: a word, for names of boots and in the record."""

    label: str
    kernel: Kernel

    def on_record(self) -> ArmKernel:
        """What a run's log has of it."""
        kernel = self.kernel
        return ArmKernel(
            arm=self.label,
            key=kernel.key,
            build_id=kernel.build_id,
            modules=kernel.modules,
            release=kernel.release,
            toolchain=built_with(kernel.path / "config"),
            title=kernel.title,
            path=str(kernel.path),
            fragments=kernel.fragments,
            patches=kernel.patches,
            arch=kernel.arch,
        )
