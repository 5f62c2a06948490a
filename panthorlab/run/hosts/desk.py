# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot's host: what runs in a process of `dask worker`. (`builder.py` is that of a build.)

The worker process of a boot is started here as on the controller's own machine (`run/worker.py`). What it says goes out
as it comes, under the topic of the controller's session; what the controller says comes in by `hand`.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, TypedDict

from distributed import Worker as DaskWorker
from distributed import get_worker
from distributed.core import Status

from panthorlab.board.kinds import KINDS
from panthorlab.board.registry import open_board
from panthorlab.errors import LabError, PanthorlabError
from panthorlab.files import write_whole
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.paths import cache_dir
from panthorlab.run.dependence import parts, versions
from panthorlab.run.hosts.orders import BuildOrder
from panthorlab.run.hosts.parcels import CHUNK, kept, packed_logs
from panthorlab.run.hosts.places import HostPaths, shipped
from panthorlab.run.poll import POLL
from panthorlab.run.record import OfBoot
from panthorlab.run.record.versions import as_json
from panthorlab.run.worker import Worker

INTERRUPTED: Final = "interrupted"
NOT_LOGS: Final = frozenset({"job.json", "tmp"})
LEAVING: Final = frozenset({Status.closing_gracefully, Status.closing, Status.closed, Status.failed})
"""Of a worker that was stopped, or has lost its scheduler."""


class BootAnswer(TypedDict):
    """What a boot is told to do. `job`: with names for paths; `parcels`: keys by name. `no`: why it is not wanted."""

    job: str
    parcels: dict[str, str]
    no: str


class BootReturn(TypedDict):
    """What comes of a boot. `why`: as `Worker.run` gives it. `log`: its directory, packed; `told`: so many messages."""

    why: str
    log: bytes
    told: int
    attempt: str


class Leash(threading.Event):
    """Set when the attempt is to end: because the controller wants it, or has not been heard of for `lease` seconds, or
    because this worker ends."""

    def __init__(self, worker: DaskWorker, lease: float) -> None:
        super().__init__()
        self.heard = time.monotonic()
        self._worker, self._lease = worker, lease

    def is_set(self) -> bool:
        return super().is_set() or self._worker.status in LEAVING or time.monotonic() - self.heard > self._lease


Handed = BootAnswer | BuildOrder | bytes
"""What a controller gives: what is to be done, or a piece of a file, of which an empty one is the end."""


@dataclass
class Desk:
    """One attempt at a boot or a build. `packed`: what the controller may take of it."""

    topic: str
    ticket: str
    stop: Leash
    attempt: str = field(default_factory=lambda: secrets.token_hex(6))
    inbox: queue.SimpleQueue[Handed] = field(default_factory=queue.SimpleQueue)
    told: int = 0
    packed: IO[bytes] | None = None

    def tell(self, kind: str, value: Json) -> None:
        """Send a message to the controller. Only the attempt's own thread does."""
        message = {"ticket": self.ticket, "attempt": self.attempt, "number": self.told, kind: value}
        self.told += 1
        get_worker().log_event(self.topic, json.dumps(message))

    def tell_ready(self) -> None:
        """That there is time for it, here."""
        self.tell("ready", {"host": platform.node(), "address": get_worker().address, "versions": {**here()}})

    def next(self) -> Handed:
        """What the controller says next. Raises LabError if that is nothing any more."""
        while not self.stop.is_set():
            try:
                return self.inbox.get(timeout=POLL)
            except queue.Empty:
                continue
        raise LabError(INTERRUPTED)

    def fetch(self, name: str, file: IO[bytes]) -> None:
        """Write what the controller sends when it is asked for `name`."""
        self.tell("want", name)
        while piece := self.next():
            if not isinstance(piece, bytes):
                raise LabError("the controller talks of something else", hint="this is a bug of panthorlab")
            file.write(piece)


_desks: dict[str, Desk] = {}


def here() -> dict[str, str]:
    """Of this host, what decides how a boot goes."""
    programs = [kind.programs() for kind in KINDS.values()]
    return versions() | {name: version for found in programs for name, version in found.items()}


def files() -> dict[str, dict[str, str]]:
    """Of this host, the files of what `here` has digests of, with theirs."""
    return parts()


def hand(attempt: str, message: Handed) -> bool:
    """What the controller gives an attempt. Whether there still is such a one."""
    desk = _desks.get(attempt)
    if desk is not None:
        desk.inbox.put(message)
    return desk is not None


def take(attempt: str, offset: int) -> bytes | None:
    """A piece of what an attempt has packed for the controller; None if there is no such attempt any more."""
    desk = _desks.get(attempt)
    return os.pread(desk.packed.fileno(), CHUNK, offset) if desk is not None and desk.packed is not None else None


def stop(attempt: str) -> None:
    """End an attempt, in order."""
    if desk := _desks.get(attempt):
        desk.stop.set()


def beat(topic: str) -> None:
    """The controller of this session is there."""
    for desk in list(_desks.values()):
        if desk.topic == topic:
            desk.stop.heard = time.monotonic()


def boot(topic: str, ticket: str, lease: float) -> BootReturn:
    """Do the boot that the controller describes when it hears that this host is ready for it. `lease`: seconds after
    which a controller that is not heard of is gone, and the boot is ended."""
    leash = Leash(get_worker(), lease)
    with (
        at_desk(Desk(topic, ticket, leash)) as desk,
        TemporaryDirectory(dir=tidy(), prefix=f"boot-{os.getpid()}-") as folder,
    ):
        log_dir = Path(folder, "log")
        log_dir.mkdir()
        try:
            desk.tell_ready()
            why = _do(desk, log_dir)
        except (PanthorlabError, OSError) as error:
            why = str(error)
        return {"why": why, "log": packed_logs(log_dir, NOT_LOGS), "told": desk.told, "attempt": desk.attempt}


def tidy() -> Path:
    """Where directories of attempts are; those that killed workers have left are deleted."""
    base = cache_dir("hosts")
    for old in [*base.glob("boot-*-*"), *base.glob("build-*-*")]:
        if not Path("/proc", old.name.split("-")[1]).exists():
            shutil.rmtree(old, ignore_errors=True)
    return base


@contextmanager
def at_desk(desk: Desk) -> Iterator[Desk]:
    _desks[desk.attempt] = desk
    try:
        yield desk
    finally:
        del _desks[desk.attempt]


def _do(desk: Desk, log_dir: Path) -> str:
    answer = desk.next()
    assert isinstance(answer, dict)  # noqa: S101 - pieces are sent when they are asked for
    if answer["no"]:
        return answer["no"]
    paths = {name: kept(name, key, partial(desk.fetch, name)) for name, key in answer["parcels"].items()}
    places = HostPaths({**shipped(), **paths, "log": log_dir, "run": log_dir.parent})
    job: JsonObject = json.loads(places.real(answer["job"]))
    write_whole(log_dir / "job.json", json.dumps(job, indent=1))

    def record(event: OfBoot) -> None:
        desk.tell("event", places.named(json.dumps(as_json(event))))

    why = Worker(open_board(str(job["board"])), log_dir, record, desk.stop).run()
    return str(json.loads(places.named(json.dumps(why))))
