# SPDX-License-Identifier: GPL-2.0-or-later
"""How often whoever waits for something in a run looks whether the run is to end."""

from __future__ import annotations

from typing import Final

POLL: Final = 0.2
"""Seconds."""
