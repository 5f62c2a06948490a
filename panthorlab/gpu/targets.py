# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the GPU that come, in exact time, where a block of the guest's code begins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_TARGET: Final = re.compile(
    r"(?P<window>[0-9]+)/(?P<kind>[^/=,]+)/(?P<number>[1-9][0-9]*)=(?P<address>[0-9a-f]{1,16}):(?P<begins>[1-9][0-9]*)"
)


@dataclass(frozen=True, order=True)
class Target:
    """The `number`th event of its `kind` (from 1) in a window comes where the block at `address` begins for the
    `begins`th time after its latency was set, if that is before its latency is over."""

    window: int
    kind: str
    number: int
    address: int
    begins: int = 1

    def __str__(self) -> str:
        return f"{self.window}/{self.kind}/{self.number}={self.address:x}:{self.begins}"


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse `WINDOW/KIND/NUMBER=ADDRESS:BEGINS,…`. Raises ValueError with a sentence for the user."""
    found = []
    for word in filter(None, text.split(",")):
        match = _TARGET.fullmatch(word.strip())
        if match is None:
            raise ValueError(f"{word!r} is not WINDOW/KIND/NUMBER=ADDRESS:BEGINS, e.g. 1/irq job/3=ffff800080123450:1")
        window, number, begins = (int(match[name]) for name in ("window", "number", "begins"))
        found.append(Target(window, match["kind"], number, int(match["address"], 16), begins))
    return tuple(found)


def format_targets(targets: Iterable[Target]) -> str:
    """As `parse_targets` reads them."""
    return ",".join(map(str, targets))
