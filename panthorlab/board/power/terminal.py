# SPDX-License-Identifier: GPL-2.0-or-later
"""Lending a controller's terminal to workers in sessions of their own, for the power switch that is a person."""

from __future__ import annotations

import os

LENT_TERMINAL = "PANTHORLAB_TTY"
"""Environment variable with the name of the terminal."""


def lent_terminal() -> dict[str, str]:
    """Environment for a worker: names the terminal that this process reads or writes, if any."""
    for stream in (0, 1, 2):
        if os.isatty(stream):
            return {LENT_TERMINAL: os.ttyname(stream)}
    return {}
