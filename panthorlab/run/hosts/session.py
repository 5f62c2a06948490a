# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller's connection to a scheduler, and through it to the hosts of its workers."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from distributed import Client, Future
from distributed.security import Security

from panthorlab.board.board import Board
from panthorlab.errors import LabError
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel import gc, store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import build_side
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.run.dependence import parts, versions
from panthorlab.run.hosts import builder, desk
from panthorlab.run.hosts.address import INSTALL, SchedulerAccess
from panthorlab.run.hosts.equal import unequal, which
from panthorlab.run.hosts.remote import RemoteBoot
from panthorlab.run.hosts.remotebuild import RemoteBuild
from panthorlab.run.record import OfBoot

RESOURCE: Final = "boot"
BUILD: Final = "build"
CONNECT_TIME: Final = 30.0
SAME: Final = "install the same panthorlab (and QEMU) everywhere, and start the workers again"
BEATS: Final = 6
"""So many signs of life are sent to the hosts while one would do."""
START: Final = "dask worker SCHEDULER --no-nanny --nthreads 1 --resources boot=1"


@dataclass(frozen=True)
class Hosts:
    """A session. `copies`: so many boots at once, `builds`: so many builds. `boxes`: where messages of them go, by
    ticket. `versions`: what all hosts have. `lease`: seconds without a sign of this controller after which they are
    ended. `refused`: workers that turned out to be others, with why. `trees`: by the key of a base, who has built from
    it last."""

    client: Client
    topic: str
    copies: int
    builds: int
    described: str
    versions: Mapping[str, str]
    lease: float
    boxes: dict[str, queue.SimpleQueue[JsonObject]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    _here: threading.Lock = field(default_factory=threading.Lock)

    def boot(self, board: Board, log_dir: Path, record: Callable[[OfBoot], None], stop: threading.Event) -> str:
        """As `worker.run_here`, on one of the hosts."""
        ticket = secrets.token_hex(6)
        inbox = self.boxes[ticket] = queue.SimpleQueue[JsonObject]()
        try:
            return RemoteBoot(self, ticket, inbox, board, log_dir, record, stop).run()
        finally:
            del self.boxes[ticket]

    def build(
        self,
        plan: SidePlan,
        *,
        log: Path,
        progress: Progress = quiet,
        note: Callable[[str], None] = quiet,
        before: SidePlan | None = None,
    ) -> Kernel:
        """As `job.build_side`, on one of the hosts that build; here, if none does, or nothing is to be jailed."""
        if kernel := store.load(plan.key, note):
            return kernel
        if sandbox().jailed and self.builders():
            ticket = secrets.token_hex(6)
            inbox = self.boxes[ticket] = queue.SimpleQueue[JsonObject]()
            first = self.trees.get(plan.base.key)
            try:
                built = RemoteBuild(self, ticket, inbox, plan, before, log, progress, note, first).run()
            finally:
                del self.boxes[ticket]
            if built is not None:
                kernel, self.trees[plan.base.key] = built
                gc.collect_daily(keep=frozenset({kernel.path, plan.base.path.parent}))
                return kernel
            note(f"{plan.title} is built here")
        with self._here:  # each takes all CPUs
            return build_side(plan, log=log, progress=progress, note=note, before=before)

    # -- what a boot or a build does with it ---------------------------------------------------------------------

    def submit(self, ticket: str, name: str) -> Future:
        """Have a boot done by whoever is free, and not refused. Raises LabError if all are."""
        key = f"panthorlab-boot-{name}-{ticket}-{len(self.refused)}"
        with _reaching():
            fit = [address for address in slots(self.client) if address not in self.refused] if self.refused else None
            if fit == []:
                raise LabError(f"no host is left that may do boots: {'; '.join(self.refused.values())}", hint=SAME)
            return self.client.submit(
                desk.boot, self.topic, ticket, self.lease, key=key, resources={RESOURCE: 1}, workers=fit, pure=False
            )

    def submit_build(self, ticket: str, fit: frozenset[str]) -> Future:
        """Have a kernel built by whoever of these is free."""
        key = f"panthorlab-build-{ticket}-{secrets.token_hex(4)}"
        with _reaching():
            return self.client.submit(
                builder.build, self.topic, ticket, self.lease, key=key, resources={BUILD: 1}, workers=[*fit], pure=False
            )

    def builders(self) -> frozenset[str]:
        """Whoever builds kernels, and is not refused."""
        with _reaching():
            return frozenset(slots(self.client, BUILD).keys() - self.refused)

    def refuse(self, address: str, theirs: Mapping[str, object]) -> str:
        """Why a worker that came later, with these versions, gets no boot of this session; empty if it may."""
        if unequal(address, theirs, self.versions):
            if address not in self.refused:
                self.refused[address] = unequal(address, theirs, self.versions, _files(self.client, address))
            return self.refused[address]
        return ""

    def hand(self, address: str, attempt: str, message: desk.Handed) -> bool:
        """Give something to an attempt; whether it is still there."""
        with _reaching():
            found = self.client.run(desk.hand, attempt, message, workers=[address], on_error="ignore")
        return bool(found.get(address))

    def take(self, address: str, attempt: str, offset: int) -> bytes | None:
        """A piece of what an attempt has packed; None if it is no longer there."""
        with _reaching():
            found = self.client.run(desk.take, attempt, offset, workers=[address], on_error="ignore")
        piece: bytes | None = found.get(address)
        return piece

    def stop(self, address: str, attempt: str) -> None:
        """End an attempt."""
        with _reaching():
            self.client.run(desk.stop, attempt, workers=[address], on_error="ignore")

    def any_left(self) -> bool:
        """Whether there still is anybody who could do a boot."""
        with _reaching():
            return bool(slots(self.client).keys() - self.refused)

    def deliver(self, event: tuple[float, str]) -> None:
        """A message from a desk, to its boot; late ones are nobody's."""
        message: JsonObject = json.loads(event[1])
        if box := self.boxes.get(str(message["ticket"])):
            box.put(message)


@contextmanager
def session(access: SchedulerAccess, *, boots: bool = True) -> Iterator[Hosts]:
    """Connect, and see that the hosts are equal to this one. `boots`: or are there builds alone? Raises LabError,
    UsageError."""
    _quieten()
    client = _connect(access)
    with client:
        taking, building = slots(client), slots(client, BUILD)
        if not taking and (boots or not building):
            raise LabError(f"{access.address} has no worker that takes boots", hint=f"start some: {START}")
        known = _alike(client, list(taking | building))
        copies, builds = sum(taking.values()), sum(building.values())
        described = f"boots run on {len(taking)} workers of {access.address}, {copies} at once"
        hosts = Hosts(
            client,
            f"panthorlab-{secrets.token_hex(8)}",
            copies,
            builds,
            f"{described}; {len(building)} workers build kernels" if building else described,
            known,
            access.lease,
        )
        client.subscribe_topic(hosts.topic, hosts.deliver)
        ended = threading.Event()
        beats = threading.Thread(target=_beat, args=(hosts, ended), name="hosts-beat", daemon=True)
        beats.start()
        try:
            yield hosts
        finally:
            ended.set()
            beats.join(CONNECT_TIME)


@contextmanager
def _reaching() -> Iterator[None]:
    """Turns what distributed says of a scheduler that is gone into the LabError that says so."""
    try:
        yield
    except (OSError, TimeoutError, RuntimeError) as error:
        raise LabError(f"the scheduler does not answer any more: {error}", hint="look at it, then resume") from error


def _quieten() -> None:
    """distributed prints what it sees on stderr, in the middle of the progress; what matters of it is in the record."""
    for name in [*logging.root.manager.loggerDict]:
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _connect(access: SchedulerAccess) -> Client:
    security = Security(**access.tls, require_encryption=True) if access.encrypted else None
    try:
        return Client(access.address, security=security, timeout=CONNECT_TIME, set_as_default=False, name="panthorlab")
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        raise LabError(
            f"the scheduler {access.address} cannot be reached: {error}",
            hint="does `dask scheduler` run there? with TLS: are these its files? docs/hosts.md",
        ) from error


def slots(client: Client, resource: str = RESOURCE) -> dict[str, int]:
    """How many boots each worker takes at once, or what else; those that take none are not in it. Raises LabError."""
    known = client.scheduler_info(n_workers=-1)
    if "workers" not in known:  # so a client answers that has lost its scheduler
        raise LabError("the scheduler does not answer any more", hint="look at it, then resume")
    workers = known["workers"]
    found = {address: int(worker.get("resources", {}).get(resource, 0)) for address, worker in workers.items()}
    return {address: count for address, count in found.items() if count > 0}


def _alike(client: Client, workers: list[str]) -> dict[str, str]:
    """What decides how boots go on each of the hosts, which must be the same. Raises LabError."""
    found = client.run(desk.here, workers=workers, on_error="return")
    for address, theirs in found.items():
        if isinstance(theirs, ImportError):
            raise LabError(f"the worker {address} has no panthorlab like this one: {theirs}", hint=INSTALL)
        if isinstance(theirs, Exception):
            raise LabError(f"the worker {address} cannot do boots: {theirs}", hint="`panthorlab doctor` there")
    first = next(iter(found.values()))
    wanted = {**first, **versions()}
    for address, theirs in found.items():
        if unequal(address, theirs, wanted):
            why = unequal(address, theirs, wanted, _files(client, address))
            raise LabError(why, hint=SAME)
    return wanted


def _files(client: Client, address: str) -> dict[str, str]:
    """By part of panthorlab, which files are others on a worker; nothing if that one is too different to tell."""
    theirs = client.run(desk.files, workers=[address], on_error="return").get(address)
    return which(theirs, parts()) if isinstance(theirs, dict) else {}


def _beat(hosts: Hosts, ended: threading.Event) -> None:
    """Say that the controller is there, as long as it is."""
    while not ended.wait(hosts.lease / BEATS):
        try:
            hosts.client.run(desk.beat, hosts.topic, on_error="ignore")
        except (OSError, TimeoutError, RuntimeError):  # a worker has just gone, or the scheduler: boots hear of it
            continue
