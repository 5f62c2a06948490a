# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's attempt at a boot or a build, seen from the controller: what it says of it, and what becomes of it."""

from __future__ import annotations

import queue
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Final, TypedDict, TypeVar

from distributed import Future, KilledWorker

from panthorlab.errors import LabError
from panthorlab.jsonvalue import JsonObject
from panthorlab.run.poll import POLL

CHECK: Final = 10.0
"""Seconds between looks at whether there still are hosts."""
LATE: Final = 60.0
"""Seconds that messages may be later than the result, which comes another way."""
FETCH: Final = 60.0
"""Seconds for what it gives back, with its logs; then messages are looked at before it is tried again."""


@dataclass
class HostAttempt:
    """A host that has begun the boot or build. `heard`: so many of its messages."""

    name: str
    address: str
    host: str
    heard: int = 0


class AttemptReturn(TypedDict):
    """What every attempt gives back: its name, and how many messages it has `told`."""

    told: int
    attempt: str


Given = TypeVar("Given", bound=AttemptReturn)


def next_message(inbox: queue.SimpleQueue[JsonObject]) -> JsonObject | None:
    """What a host says, if it does so soon."""
    try:
        return inbox.get(timeout=POLL)
    except queue.Empty:
        return None


def failure(future: Future) -> str:
    """Of what is done, why no host gives anything back; empty if one does. Raises LabError if there is nobody who would
    know."""
    if future.status == "cancelled":  # not by us: all are, when the scheduler is lost
        raise LabError("the scheduler is gone, or has forgotten this run", hint="look at it")
    if future.status == "finished":
        return ""
    if future.status == "error":
        error = future.exception()
        if isinstance(error, KilledWorker):
            return f"so many died under it that the scheduler gives it to no other ({error})"
        return repr(error)
    return f"the scheduler says `{future.status}`"


def returned(future: Future, attempt: HostAttempt | None, _: type[Given]) -> Given | None:
    """What the host gave back; None if it has not come yet, or its messages have not."""
    try:
        outcome: Given = future.result(timeout=FETCH)
    except (TimeoutError, CancelledError, KilledWorker):  # its host died with it: what now, its status says
        return None
    if attempt is None or (attempt.name, attempt.heard) != (outcome["attempt"], outcome["told"]):
        return None
    return outcome
