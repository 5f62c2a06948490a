# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the GPU that come, in exact time, where a block of the guest's code begins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_TARGET: Final = re.compile(
    r"(?P<window>[0-9]{1,18})/(?P<kind>[^/=,]+)/(?P<number>[1-9][0-9]{0,17})=(?P<address>[0-9a-f]{1,16}):(?P<begins>[1-9][0-9]{0,17})"
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
    return tuple(
        Target(int(one["window"]), one["kind"], int(one["number"]), int(one["address"], 16), int(one["begins"]))
        for one in of_events(text, _TARGET, "WINDOW/KIND/NUMBER=ADDRESS:BEGINS, e.g. 1/irq job/3=ffff800080123450:1")
    )


def of_events(text: str, form: re.Pattern[str], meaning: str) -> list[re.Match[str]]:
    """The words of a list with commas, each of which says something of one event: `form` has groups `window`, `kind`
    and `number`. Raises ValueError with a sentence for the user, also if an event is there twice."""
    found = []
    for word in filter(None, text.split(",")):
        match = form.fullmatch(word.strip())
        if match is None:
            raise ValueError(f"{word!r} is not {meaning}")
        found.append(match)
    events = Counter((int(one["window"]), one["kind"], int(one["number"])) for one in found)
    if twice := [event for event, count in events.items() if count > 1]:
        window, kind, number = twice[0]
        raise ValueError(f"{window}/{kind}/{number} is given twice")
    return found


def format_targets(targets: Iterable[Target]) -> str:
    """As `parse_targets` reads them."""
    return ",".join(map(str, targets))
