# SPDX-License-Identifier: GPL-2.0-or-later
"""The states of a board: free → leased → free, and from any state → quarantined, which only a person can lift.

A lease whose processes are all gone does not count: the board is free, even if its file still has the lease.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from enum import StrEnum

from panthorlab.board.lab.lease import run_token
from panthorlab.board.lab.process import user_name
from panthorlab.board.lab.record import Health, LeaseRecord, Quarantine, Record, read, update
from panthorlab.errors import UsageError


class LeaseState(StrEnum):
    FREE = "free"
    LEASED = "leased"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Standing:
    """A board's state, and the reason for people. `lease` is None unless its processes are alive."""

    state: LeaseState
    why: str
    lease: LeaseRecord | None
    quarantine: Quarantine | None
    health: Health | None


def standing(name: str) -> Standing:
    """The state of board `name`. Raises LabError if its record cannot be read."""
    return _standing(read(name))


def _standing(record: Record) -> Standing:
    lease = record.lease if record.lease and record.lease.living() else None
    if record.quarantine:
        state, why = LeaseState.QUARANTINED, str(record.quarantine)
        why += f"; leased by {lease}" if lease else ""
    elif lease:
        state, why = LeaseState.LEASED, f"by {lease}"
    else:
        state, why = LeaseState.FREE, f"stale lease of {record.lease}" if record.lease else ""
    return Standing(state, why, lease, record.quarantine, record.health)


def quarantine(name: str, reason: str, *, by: str | None = None) -> None:
    """Block new leases of the board until `release`. A run that has it keeps its lease, but cannot boot it again.

    `by`: who quarantines it; by default the user.
    """
    entry = Quarantine(reason=reason, since=time.time(), by=by or f"{user_name()}@{socket.gethostname()}")
    update(name, lambda record: record.model_copy(update={"quarantine": entry}))


def release(name: str, *, end_lease: bool = False) -> Standing:
    """Lift the quarantine and drop a stale lease; `end_lease` also ends the lease of a live run, which notices it.
    Returns the state before. Raises UsageError if there is no quarantine and another run has the board, unless
    `end_lease` is given."""
    before: list[Standing] = []

    def change(record: Record) -> Record:
        before[:] = [_standing(record)]
        foreign = before[0].lease and before[0].lease.run != run_token()
        if foreign and not end_lease and not record.quarantine:
            raise UsageError(
                f"board {name} is leased by {before[0].lease}",
                hint="stop that run, or end its lease with --force: it will fail with a lab error",
            )
        lease = before[0].lease if not end_lease else None
        return record.model_copy(update={"quarantine": None, "lease": lease})

    update(name, change)
    return before[0]


def record_health(name: str, *, healthy: bool, detail: str) -> None:
    """Record the result of a health check. This does not change the state: see `quarantine`."""
    entry = Health(time=time.time(), healthy=healthy, detail=detail)
    update(name, lambda record: record.model_copy(update={"health": entry}))
