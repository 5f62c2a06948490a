# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases: one run at a time has a board, with all of its processes; dead processes keep no lease.

A lease belongs to a run, named by a token that worker processes inherit in `$PANTHORLAB_LEASE`. Every process that
works with the board joins it; the board is free again when the last one has left or died. A process of this machine
is dead when its pid is gone; of another (the lab directory may be shared), when its heartbeat is older than the expiry.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from panthorlab.board.lab import record as records
from panthorlab.board.lab.process import Holder, this_process
from panthorlab.board.lab.record import LeaseRecord, Record
from panthorlab.errors import LabError

VARIABLE: Final = "PANTHORLAB_LEASE"
BEAT: Final = 15.0
EXPIRY: Final = 180.0
"""Seconds without heartbeat after which a process of another host counts as dead; hosts' clocks may differ by less."""
POLL: Final = 0.5

_own_token = os.environ.get(VARIABLE) or secrets.token_hex(8)


def run_token() -> str:
    """The token of this process's run: the parent's, or a new one. Put it in a worker's environment."""
    return _own_token


class BusyError(LabError):
    """Another run has the board."""


class QuarantinedError(LabError):
    """The board is not to be used."""


class Lease:
    """A held lease, until `release`; a context manager. Created by `lease()`.

    `note`: the owner of the stale lease that was taken over; empty if none. `lost` is set when the lease is lost.
    """

    def __init__(
        self,
        name: str,
        run: str,
        me: Holder,
        note: str,
        *,
        beat: float,
        expiry: float,
        on_loss: Callable[[str], None],
        on_note: Callable[[str], None],
    ) -> None:
        self.name, self.note = name, note
        self.lost = threading.Event()
        self._run, self._me, self._beat, self._expiry, self._on_loss = run, me, beat, expiry, on_loss
        self._why, self._on_note = "", on_note
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name=f"lease-{name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises LabError if the board is no longer ours."""
        record = records.read(self.name)
        if not self.lost.is_set() and not self._is_ours(record):
            self._lose(_loss(record))
        if self.lost.is_set():
            raise LabError(
                f"the lease of board {self.name} was lost: {self._why}",
                hint="what ran on the board since then does not count; resume the run when it is free",
            )

    def release(self) -> None:
        """Leave the lease; the last process of the run to leave frees the board. Idempotent.

        A full disk raises no error here, so that no results are lost: the lease ends with the process at the latest.
        """
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()

        def leave(record: Record) -> Record:
            if record.lease is None or not self._is_ours(record):
                return record
            others = tuple(holder for holder in record.lease.living() if holder.id != self._me.id)
            left = record.lease.model_copy(update={"holders": others}) if others else None
            return record.model_copy(update={"lease": left})

        try:
            records.update(self.name, leave)
        except LabError as error:
            self._on_note(f"board {self.name} is free only when this process has ended: {error}")

    def _is_ours(self, record: Record) -> bool:
        return record.lease is not None and record.lease.run == self._run

    def _keep_beating(self) -> None:
        heard = time.monotonic()
        while not self._end.wait(self._beat):
            try:
                record = records.update(self.name, self._beat_once)
            except LabError as error:  # e.g. a full disk: fatal only once others must assume that we are dead
                if time.monotonic() - heard > self._expiry:
                    self._lose(f"its heartbeat could not be written: {error}")
                    return
                continue
            heard = time.monotonic()
            if not self._is_ours(record):
                self._lose(_loss(record))
                return

    def _beat_once(self, record: Record) -> Record:
        if record.lease is None or not self._is_ours(record):
            return record
        me = self._me.model_copy(update={"beat": time.time()})
        holders = [me if holder.id == me.id else holder for holder in record.lease.holders]
        if me not in holders:  # another process of this run took us for dead
            holders.append(me)
        return record.model_copy(update={"lease": record.lease.model_copy(update={"holders": tuple(holders)})})

    def _lose(self, why: str) -> None:
        self._why = why
        self.lost.set()
        self._on_loss(why)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def lease(
    name: str,
    run_dir: str | os.PathLike[str] = "",
    *,
    wait: float = 0.0,
    run: str | None = None,
    despite_quarantine: bool = False,
    on_note: Callable[[str], None] = lambda _text: None,
    on_loss: Callable[[str], None] = lambda _why: None,
    stop: threading.Event | None = None,
    beat: float = BEAT,
    expiry: float = EXPIRY,
) -> Lease:
    """Lease board `name` for the run `run` (default: this process's run), or join the lease that the run already has.

    `run_dir`: shown to other users. `wait`: seconds to wait for another run to end, unless `stop` is set before.
    `despite_quarantine`: for repair. `on_note`: called with messages about the run that is waited for, or the stale
    lease taken over. `on_loss`: called in the heartbeat thread. Raises BusyError, QuarantinedError or LabError.
    """
    run = run or run_token()
    me = this_process(secrets.token_hex(8))
    stop = stop or threading.Event()
    deadline = time.monotonic() + wait
    shown = ""
    while True:
        try:
            taken = _take(name, run, me, os.fspath(run_dir), expiry, despite_quarantine=despite_quarantine)
            break
        except BusyError as busy:
            if time.monotonic() >= deadline:
                waited = f" (waited {wait:g} s for it)" if wait else ""
                raise BusyError(f"{busy}{waited}", hint=busy.hint) from None
            if str(busy) != shown:
                shown = str(busy)
                on_note(f"waiting up to {wait:g} s: {shown}")
            if stop.wait(min(POLL, max(0.0, deadline - time.monotonic()))):
                raise LabError(f"interrupted while waiting: {busy}") from None
    note = taken.taken_over if taken.holders == (me,) else ""
    if note:
        on_note(note)
    return Lease(name, run, me, note, beat=beat, expiry=expiry, on_loss=on_loss, on_note=on_note)


def _take(name: str, run: str, me: Holder, run_dir: str, expiry: float, *, despite_quarantine: bool) -> LeaseRecord:
    """Take the board or join the run that has it. Raises BusyError or QuarantinedError."""

    def change(record: Record) -> Record:
        old = record.lease
        living = old.living() if old else ()
        joins = old is not None and bool(living) and old.run == run
        allowed = despite_quarantine or (joins and old is not None and old.despite_quarantine)
        if record.quarantine and not allowed:
            raise QuarantinedError(
                f"board {name} is quarantined: {record.quarantine}",
                hint=f"mend it, then `panthorlab boards train {name}` or `panthorlab boards release {name}`",
            )
        if old and living and not joins:
            raise BusyError(
                f"board {name} is leased by {old}",
                hint="wait for that run, or use another board; `panthorlab boards` lists them",
            )
        if old and joins:
            new = old.model_copy(update={"holders": (*living, me)})
        else:
            stale = f"board {name}: took over the stale lease of {old}, which ended without giving it back"
            new = LeaseRecord(
                run=run,
                run_dir=run_dir,
                since=me.since,
                expiry=expiry,
                holders=(me,),
                despite_quarantine=despite_quarantine,
                taken_over=stale if old else "",
            )
        return record.model_copy(update={"lease": new})

    taken = records.update(name, change).lease
    assert taken is not None  # noqa: S101 - `change` has put it there
    return taken


def _loss(record: Record) -> str:
    return f"it is now leased by {record.lease}" if record.lease else "somebody ended it"
