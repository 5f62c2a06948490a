# SPDX-License-Identifier: GPL-2.0-or-later
"""The events of all nights of one nightly.yaml: one append-only log in its state directory, written by one process.

Runs and bisects of a night have logs of their own. What is here says which there are, and what came of them, so that a
night that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from panthorlab.errors import UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.nightly.model import KernelNight, TreeCommit
from panthorlab.run.record import Event, lines
from panthorlab.run.record.codec import Count, Seconds, ShapeError
from panthorlab.run.record.lines import DamagedError
from panthorlab.run.record.log import DamagedLogError, EventLog
from panthorlab.run.record.versions import event_of

VERSION: Final = 3
"""Of these events; grows with every one that an older panthorlab must not overlook. 2: people are told. 3: where
kernels are built."""


@dataclass(frozen=True, kw_only=True)
class NightStart(Event, event="night"):
    """A night begins. `kernels`: their names, in the order in which they are tested. `deadline`: Unix time at which it
    must end; None: never. `asked`: a digest of nightly.yaml. `tells`: whether somebody is to be told of it."""

    night: str
    title: str
    kernels: tuple[str, ...]
    asked: str
    deadline: Seconds | None = None
    tells: bool = False
    version: Count = VERSION


@dataclass(frozen=True, kw_only=True)
class TreeFetched(Event, event="night-fetched"):
    """The commit of a branch in this night, whatever is pushed meanwhile; or why there is none."""

    night: str
    tree: str
    branch: str
    commit: TreeCommit | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class KernelPlaced(Event, event="night-build"):
    """A kernel is built from here on, unless it is in the store. `kernel`: its name. `commit`: what of. `tree`: the
    commit in whose private tree, as an increment of what was built there before."""

    night: str
    kernel: str
    commit: str
    tree: str


@dataclass(frozen=True, kw_only=True)
class KernelJudged(Event, event="night-kernel"):
    """What the night says of a kernel; said again, it holds instead. `asked`: as of its plan."""

    night: str
    asked: str
    kernel: KernelNight


@dataclass(frozen=True, kw_only=True)
class NightEnd(Event, event="night-end"):
    """Nothing more is done in it. `notes`: of the whole night."""

    night: str
    seconds: Seconds
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NightTelling(Event, event="night-telling"):
    """Those who are to know of a night that has ended are told from here on: it is not begun again."""

    night: str


@dataclass(frozen=True)
class Delivered:
    """`channel`: a name for people, without secrets. `message`: why it failed; empty if it did not."""

    channel: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class NightTold(Event, event="night-told"):
    """Whoever wanted to know was told, or could not be. `interrupted`: in the middle; nobody knows what arrived."""

    night: str
    deliveries: tuple[Delivered, ...] = ()
    interrupted: bool = False


class NightLog(EventLog):
    """Writer of the log; whoever has it open has the state directory for itself."""

    FILE: ClassVar[str] = "nights.jsonl"
    BUSY: ClassVar[str] = "another nightly is at work on this state"
    AGAIN: ClassVar[str] = "the same command goes on"
    BUSY_HINT: ClassVar[str] = (
        "wait until it has ended, and give the timer more time between nights, or the night a shorter `budget`"
    )


def read_nights(state: Path) -> list[Event]:
    """All whole events, oldest first; none if there was no night yet. Raises DamagedLogError, and UsageError for a log
    of a newer panthorlab."""
    path = state / NightLog.FILE
    if not path.exists():
        return []
    events: list[Event] = []
    begun: set[object] = set()
    try:
        for number, fields in enumerate(lines.decode(path.read_bytes().split(b"\n")[:-1]), 1):
            event = _event(path, number, fields, events)
            if isinstance(event, NightStart):
                begun.add(event.night)
            elif getattr(event, "night", None) not in begun:
                raise DamagedError(number, "it is of no night that has begun")
            events.append(event)
    except DamagedError as damage:
        raise DamagedLogError(path, damage, events) from None
    return events


def _event(path: Path, number: int, fields: JsonObject, before: Sequence[Event]) -> Event:
    try:
        event = event_of(fields)
    except ShapeError as error:
        event, what = None, str(error)
    else:
        what = f"its event `{fields['event']}` is not known"
    if event is not None:
        return event
    newest = max((one.version for one in before if isinstance(one, NightStart)), default=VERSION)
    version = fields.get("version", newest)
    if isinstance(version, int) and version > VERSION:
        raise UsageError(f"{path}:{number}: {what}; a newer panthorlab has written it", hint="update this one")
    raise DamagedError(number, what)
