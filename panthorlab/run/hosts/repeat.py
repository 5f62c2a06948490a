# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot whose host died and that is made again from its start: in exact time it tells the same once more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from panthorlab.errors import LabError
from panthorlab.run.record import BoardUp, BootStep, Doing, Note, OfBoot
from panthorlab.run.record.versions import as_json

WALL: Final = frozenset({"time", "seconds", "begin", "end"})
"""Fields that the host's clock fills in."""


class Repetition:
    """Tells what is new in a boot that is made again from what was `told` before its host died."""

    def __init__(self, told: Iterable[OfBoot]) -> None:
        told = list(told)
        self._about_host = {_key(event) for event in told if _of_host(event)}
        self._before = [event for event in told if not _of_host(event)]
        self._turn = 0

    def is_new(self, event: OfBoot) -> bool:
        """Whether `event`, the next one, was not told before. Raises LabError if another was told in its place."""
        if isinstance(event, Doing):
            return True  # of now, and never on record
        if _of_host(event):
            return _key(event) not in self._about_host
        if self._turn == len(self._before):
            return True
        before = self._before[self._turn]
        self._turn += 1
        if essence(before) != essence(event):
            raise LabError(
                f"made again on another host, it was another boot: {_short(before)} before, {_short(event)} now",
                hint="`panthorlab doctor --exact` tells whether time is exact on a host",
            )
        return False


def essence(event: OfBoot) -> str:
    """All of an event that equal boots have in common."""
    return json.dumps({name: value for name, value in as_json(event).items() if name not in WALL}, sort_keys=True)


def _of_host(event: OfBoot) -> bool:
    """Whether the event also says something of the host, or of how its steps went there."""
    return isinstance(event, BoardUp | BootStep | Note)


def _key(event: OfBoot) -> tuple[str, str]:
    return event.EVENT, event.text if isinstance(event, Note) else getattr(event, "name", "")


def _short(event: OfBoot) -> str:
    return essence(event)[:300]
