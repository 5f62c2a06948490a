# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the turns of several CPUs end, drawn from the seed.

QEMU runs the CPUs of a guest one after the other. By itself it changes them when one of its timers is due, when a
device interrupts one of them, and when one waits: mostly every few milliseconds. A race between CPUs wants changes
anywhere, so the model ends turns, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from panthorlab.gpu.latency import log_uniform

SHORTEST: Final = 10e-6
LONGEST: Final = 2e-3
"""Seconds of guest time. Each decade is as likely, so that several changes can fall into the microseconds of a race,
and a CPU also gets far while the other ones stand still."""
FIXED: Final = 400e-6


def turns(strategy: str, seed: int) -> Iterator[float]:
    """The lengths of all turns in seconds, without end. The seed moves none with the strategy `fixed`."""
    chance, draw = random.Random(f"{seed} turn"), log_uniform(SHORTEST, LONGEST)  # noqa: S311
    while True:
        yield FIXED if strategy == "fixed" else draw(chance)
