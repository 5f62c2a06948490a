# SPDX-License-Identifier: GPL-2.0-or-later
"""The strategies of an exploration, with their meanings: those of the GPU model, and one that needs a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from panthorlab.gpu.latency import STRATEGIES

FIXED: Final = "fixed"
"""The GPU model's strategy that explores nothing."""
AIMED: Final = "aimed"
CHOICES: Final[Mapping[str, str]] = {
    **{name: strategy.meaning for name, strategy in STRATEGIES.items() if name != FIXED},
    AIMED: "the default latencies, but one event of the GPU is moved to each block of the driver's code in turn",
}
