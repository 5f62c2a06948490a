# SPDX-License-Identifier: GPL-2.0-or-later
"""All one-line error messages of the Mali drivers. Messages of several lines are in `gpu_messages.py`."""

from __future__ import annotations

import re
from functools import cache

from panthorlab.kmsg import messages_kbase, messages_panfrost, messages_shared, messages_tyr
from panthorlab.kmsg.rows import Row

_OF_DRIVER: dict[str, tuple[Row, ...]] = {
    "kbase": messages_kbase.ROWS,
    "panfrost": messages_panfrost.ROWS,
    "tyr": messages_tyr.ROWS,
}


@cache
def _table(driver: str) -> tuple[tuple[Row, re.Pattern[str]], ...]:
    """The rows of a driver, compiled on its first message: the first match wins."""
    own = _OF_DRIVER.get(driver, ())
    return tuple((row, re.compile(row.pattern)) for row in (*messages_shared.ROWS, *own))


def classify(driver: str, message: str) -> tuple[Row, re.Match[str]] | None:
    """The row and match of a driver's message; None for an unknown message."""
    for row, pattern in _table(driver):
        if found := pattern.match(message):
            return row, found
    return None


def tables() -> dict[str, tuple[Row, ...]]:
    """The rows that are specific to one driver, by driver."""
    return dict(_OF_DRIVER)
