# SPDX-License-Identifier: GPL-2.0-or-later
"""What every event is, and by which names they are known in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from panthorlab.run.record.codec import Seconds

_KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the log, called `EVENT` there. `time`: Unix time at which it was recorded; 0 before that."""

    EVENT: ClassVar[str] = ""
    time: Seconds = 0.0

    def __init_subclass__(cls, event: str = "") -> None:
        if event:
            cls.EVENT = event
            _KINDS[event] = cls


@dataclass(frozen=True, kw_only=True)
class OfBoot(Event):
    """What a boot has told. `arm`: whose kernel was booted; `slot`: which boot of the plan it was an attempt at. These
    are for the controller to say: what a worker sends has no place yet, and on record it must have that in `PLACE`."""

    PLACE: ClassVar[tuple[str, ...]] = ("boot", "arm")
    boot: str = ""
    arm: str = ""
    slot: str = ""


def kinds() -> Mapping[str, type[Event]]:
    """All events by name."""
    return _KINDS


def boot_of(event: Event) -> str:
    """The boot that an event belongs to; empty if it is one of the run."""
    return event.boot if isinstance(event, OfBoot) else ""
