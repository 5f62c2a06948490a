# SPDX-License-Identifier: GPL-2.0-or-later
"""Arms: what a run boots and holds against each other, each a label and a kernel. A validation has *before* and
*after*, which only verdict and reports tell apart; a run of one kernel has that alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from panthorlab.kernel.model import Kernel

ALONE: Final = "kernel"
"""The label of the arm that nothing is compared with."""


@dataclass(frozen=True)
class Arm:
    """`label`: a word, for names of boots and in the record."""

    label: str
    kernel: Kernel
