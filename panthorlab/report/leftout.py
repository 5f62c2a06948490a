# SPDX-License-Identifier: GPL-2.0-or-later
"""What did not run, in words: a check that was left out must not pass for one that passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHOWN: Final = 3


def not_run(left_out: Mapping[str, str]) -> list[str]:
    """One line for each reason why tests do not run, with the first of them."""
    by_reason: dict[str, list[str]] = {}
    for test, why in left_out.items():
        by_reason.setdefault(why, []).append(test)
    lines = []
    for why, tests in by_reason.items():
        shown = ", ".join(tests[:SHOWN]) + (f" and {len(tests) - SHOWN} more" if len(tests) > SHOWN else "")
        lines.append(f"{len(tests)} test{'s' if len(tests) > 1 else ''} not run ({shown}): {why}")
    return lines
