# SPDX-License-Identifier: GPL-2.0-or-later
"""Every one-line message of a Mali driver that means trouble. Those of several lines are in `gpu_messages.py`."""

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
    """The rows of a driver, compiled when it first says something: the first that matches wins."""
    own = _OF_DRIVER.get(driver, ())
    return tuple((row, re.compile(row.pattern)) for row in (*messages_shared.ROWS, *own))


def classify(driver: str, message: str) -> tuple[Row, re.Match[str]] | None:
    """The row of a driver's message with what its pattern found; None for a message that we do not know."""
    for row, pattern in _table(driver):
        if found := pattern.match(message):
            return row, found
    return None


def tables() -> dict[str, tuple[Row, ...]]:
    """The rows that only one driver has, by driver."""
    return dict(_OF_DRIVER)
