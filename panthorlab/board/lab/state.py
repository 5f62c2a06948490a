# SPDX-License-Identifier: GPL-2.0-or-later
"""The states of a board: free → leased → free, and from anywhere → quarantined, out of which only a person leads.

A lease whose processes are all gone is none: the board is free, whatever the file still says.
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
    """A board's state and, in words, why. `lease` is None unless it is alive."""

    state: LeaseState
    why: str
    lease: LeaseRecord | None
    quarantine: Quarantine | None
    health: Health | None


def standing(name: str) -> Standing:
    """How things stand with board `name`. Raises LabError if its record cannot be read."""
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
    """Nobody gets this board any more until `release`. A run that has it keeps it, but boots nothing more on it.

    `by`: who says so; by default the user.
    """
    entry = Quarantine(reason=reason, since=time.time(), by=by or f"{user_name()}@{socket.gethostname()}")
    update(name, lambda record: record.model_copy(update={"quarantine": entry}))


def release(name: str, *, end_lease: bool = False) -> Standing:
    """Lift the quarantine and drop a stale lease; `end_lease` also ends the lease of a run that is alive, which
    notices. Returns what was lifted. Raises UsageError if there is none and another run has the
    board, unless `end_lease` is given."""
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
    """Put the result of a health check on record. It does not change the state: see `quarantine`."""
    entry = Health(time=time.time(), healthy=healthy, detail=detail)
    update(name, lambda record: record.model_copy(update={"health": entry}))
