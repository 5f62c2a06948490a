# SPDX-License-Identifier: GPL-2.0-or-later
"""A controller's terminal, lent to workers that run in sessions of their own: for a person who is the power switch."""

from __future__ import annotations

import os

LENT_TERMINAL = "PANTHORLAB_TTY"
"""Environment variable with the name of the terminal."""


def lent_terminal() -> dict[str, str]:
    """Environment for a worker: where this process reads or writes a terminal, that one."""
    for stream in (0, 1, 2):
        if os.isatty(stream):
            return {LENT_TERMINAL: os.ttyname(stream)}
    return {}
