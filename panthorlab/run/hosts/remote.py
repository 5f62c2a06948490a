# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot on another host, seen from the controller: the counterpart of `desk.py`.

A host that dies takes an attempt with it, and distributed gives the boot to another one. In exact time the second
attempt tells the same once more, and what is on record of the first stays. In the host's time it would be another boot:
it is not begun, and the controller plans anew, as for any boot that the lab has failed.
"""

from __future__ import annotations

import io
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from distributed import Future

from panthorlab.board.board import Board
from panthorlab.board.boardtime import TimeName
from panthorlab.errors import LabError
from panthorlab.files import write_whole
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.run.hosts.attempt import CHECK, LATE, HostAttempt, failure, next_message, returned
from panthorlab.run.hosts.contents import parcels_of, places_of
from panthorlab.run.hosts.desk import BootAnswer, BootReturn
from panthorlab.run.hosts.parcels import unpack
from panthorlab.run.hosts.repeat import Repetition
from panthorlab.run.job import Job
from panthorlab.run.record import BootEnd, Doing, Note, OfBoot
from panthorlab.run.record.codec import encode
from panthorlab.run.record.versions import event_of
from panthorlab.run.worker import STOP_GRACE, STOPPED

ALONE: Final = 120.0
"""Seconds without any host: one that was killed is started again by whoever looks after it."""
HOST_FILE: Final = "host.json"
"""Beside the logs of a boot, where it ran."""
BUG: Final = "this is a bug of panthorlab"


class HostsPort(Protocol):
    """What a boot wants of the session."""

    def refuse(self, address: str, theirs: Mapping[str, object]) -> str: ...
    def submit(self, ticket: str, name: str) -> Future: ...
    def hand(self, address: str, attempt: str, message: BootAnswer | bytes) -> bool: ...
    def stop(self, address: str, attempt: str) -> None: ...
    def any_left(self) -> bool: ...


@dataclass
class RemoteBoot:
    """Does the job in `log_dir`. `inbox`: what hosts say of it; the rest as for `worker.Worker`."""

    hosts: HostsPort
    ticket: str
    inbox: queue.SimpleQueue[JsonObject]
    board: Board
    log_dir: Path
    record: Callable[[OfBoot], None]
    stop: threading.Event
    _attempt: HostAttempt | None = None
    _told: list[OfBoot] = field(default_factory=list)
    _repetition: Repetition | None = None
    _late_at: float | None = None
    _refused: bool = False

    def run(self) -> str:
        """To its end. Empty if it said how it ended, else why it did not. Raises LabError if nobody can do boots any
        more, UsageError."""
        self._job = Job.read(json.loads((self.log_dir / "job.json").read_text()))
        self._parcels = {parcel.name: parcel for parcel in parcels_of(self._job)}
        self._places = places_of(self._job, list(self._parcels.values()))
        self._exact = self.board.time_for(self._job.time) is TimeName.EXACT
        self.record(Doing(text="waits for a host"))
        future: Future | None = None
        try:
            while (why := self._follow(future := self.hosts.submit(self.ticket, self.log_dir.name))) is None:
                future.release()  # whoever had it is refused, and has heard so
            return why
        finally:
            if future is not None:
                if not future.done():
                    future.cancel()
                future.release()

    def _follow(self, future: Future) -> str | None:
        """As `run`; None if somebody else is to do it."""
        stop_at = None
        seen_at = time.monotonic()
        look_at = seen_at + CHECK
        while True:
            done = future.done()  # asked before the messages are taken: those behind it are only late
            while (message := next_message(self.inbox)) is not None:
                if (why := self._hear(message)) is not None:
                    return why
                if self._refused:
                    self._refused = False
                    return None
            now = time.monotonic()
            if done and (why := self._concluded(future)) is not None:
                return why
            if self.stop.is_set():
                if self._attempt is None:
                    return "interrupted"
                if stop_at is None:
                    self.hosts.stop(self._attempt.address, self._attempt.name)
                    stop_at = now + STOP_GRACE + self.board.patience.switching + STOPPED
                if now > stop_at:
                    return self._lost("interrupted")
            if now > look_at:
                seen_at = now if self.hosts.any_left() else seen_at
                if now - seen_at > ALONE:
                    raise LabError("no host is left that takes boots", hint="start some: docs/hosts.md; then resume")
                look_at = now + CHECK

    def _hear(self, message: JsonObject) -> str | None:
        """Take a message. None, or why the boot goes no further."""
        name = str(message["attempt"])
        if "ready" in message:
            return self._begin(name, _object(message["ready"]))
        attempt = self._attempt
        if attempt is None or attempt.name != name:
            return None  # of a host that was given up
        attempt.heard += 1
        if message["number"] != attempt.heard - 1:
            return self._lost("of what its host told, something was lost")
        if "want" in message:
            self._send(attempt, str(message["want"]))
        elif (why := self._event(attempt, str(message["event"]))) is not None:
            self.hosts.stop(attempt.address, attempt.name)
            return why
        return None

    def _begin(self, name: str, ready: JsonObject) -> str | None:
        """A host has time for the boot."""
        before, attempt = self._attempt, HostAttempt(name, str(ready["address"]), str(ready["host"]), heard=1)
        if other := self.hosts.refuse(attempt.address, _object(ready["versions"])):
            self.hosts.hand(attempt.address, name, {"job": "", "parcels": {}, "no": other})
            self.record(Note(text=f"{attempt.host} gets no boot: {other}"))
            self._refused = True
            return None
        why = ""
        if before is not None:
            died = f"its host {before.host} ({before.address}) died"
            if self._ended:
                why = f"{died} after it, with its logs"
            elif self._told and not self._exact:
                why = died
            else:
                self._repetition = Repetition(self._told)
                self.record(
                    Note(text=f"{self.log_dir.name}: {died}; it starts again on {attempt.host} ({attempt.address})")
                )
        job = self._places.named(json.dumps(encode(self._job)))
        parcels = {parcel.name: parcel.key for parcel in self._parcels.values()}
        self.hosts.hand(attempt.address, name, {"job": job, "parcels": parcels, "no": why})
        if why:
            return self._lost(why)
        self._attempt = attempt
        self.record(Doing(text=f"on {attempt.host}"))
        write_whole(self.log_dir / HOST_FILE, json.dumps({"host": attempt.host, "address": attempt.address}))
        return None

    def _send(self, attempt: HostAttempt, name: str) -> None:
        """A parcel that the host does not have. Whoever is gone meanwhile needs none."""
        self.record(Doing(text=f"sends {name} to {attempt.host}"))
        for piece in self._parcels[name].chunks():
            if self.stop.is_set() or not self.hosts.hand(attempt.address, attempt.name, piece):
                return
        self.hosts.hand(attempt.address, attempt.name, b"")

    def _event(self, attempt: HostAttempt, text: str) -> str | None:
        event = event_of(json.loads(self._places.real(text)))
        if not isinstance(event, OfBoot):
            raise LabError(f"host {attempt.host} sent what is no event of a boot: {text[:200]!r}", hint=BUG)
        if self._repetition is not None:
            try:
                new = self._repetition.is_new(event)
            except LabError as error:
                return self._lost(str(error))
            if not new:
                return None
        self.record(event)
        if not isinstance(event, Doing):
            self._told.append(event)
        return None

    def _concluded(self, future: Future) -> str | None:
        """What came of the boot, as `run` gives it; None if not all of it is here yet. Raises LabError if there is
        nobody who would know."""
        if why := failure(future):
            return self._lost(f"its host did not do it: {why}")
        if (outcome := returned(future, self._attempt, BootReturn)) is not None:
            unpack(io.BytesIO(outcome["log"]), self.log_dir)
            return "" if self._ended else outcome["why"] or "the worker told no end"
        self._late_at = self._late_at or time.monotonic() + LATE
        return self._lost("what its host told did not come whole") if time.monotonic() > self._late_at else None

    @property
    def _ended(self) -> bool:
        return any(isinstance(event, BootEnd) for event in self._told)

    def _lost(self, why: str) -> str:
        """Why there was no end, or, if there was, a note that the logs are lost."""
        if not self._ended:
            return why
        self.record(Note(text=f"{self.log_dir.name}: the logs of this boot are lost: {why}"))
        return ""


def _object(value: Json) -> JsonObject:
    assert isinstance(value, Mapping)  # noqa: S101 - as `desk.py` sends it
    return value
