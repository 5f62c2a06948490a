# SPDX-License-Identifier: GPL-2.0-or-later
"""One message of a Mali driver as a row of a table."""

from __future__ import annotations

from typing import NamedTuple

from panthorlab.kmsg.patterns import Kind


class Row(NamedTuple):
    """A message. `name` is the stable part of a finding's signature: do not change it without need.

    `pattern` matches from the start of the message, after the prefix `panthor fb000000.gpu: [drm] *ERROR* `; its
    groups `what`, `exception`, `pid` and `comm` go into the finding. `kind` None: harmless, or part of another message.
    """

    kind: Kind | None
    name: str
    pattern: str


def rows(kind: Kind | None, *messages: tuple[str, str]) -> list[Row]:
    """Rows of one kind from (name, pattern)."""
    return [Row(kind, name, pattern) for name, pattern in messages]
