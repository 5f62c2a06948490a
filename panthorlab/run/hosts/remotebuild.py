# SPDX-License-Identifier: GPL-2.0-or-later
"""One build on another host, seen from the controller: the counterpart of `builder.py`.

Whatever a host does to a build says nothing of the kernel: another one builds it, or this one. What the compiler says
of it there is what it would say here, for host and controller are equal, and it is built in the same way.
"""

from __future__ import annotations

import gzip
import json
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from distributed import Future

from panthorlab.errors import BuildError, LabError, UsageError
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.job import keep_same
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source.sent import pack
from panthorlab.paths import cache_dir
from panthorlab.run.hosts.attempt import CHECK, LATE, HostAttempt, failure, next_message, returned
from panthorlab.run.hosts.builder import BuildReturn
from panthorlab.run.hosts.desk import Handed
from panthorlab.run.hosts.orders import BuildOrder
from panthorlab.run.hosts.parcels import CHUNK, unpack

GONE: Final = 20.0
"""Seconds without any of the hosts that may build it, until it is given to others, or built here."""


class BuildHostsPort(Protocol):
    """What a build wants of the session."""

    def refuse(self, address: str, theirs: Mapping[str, object]) -> str: ...
    def submit_build(self, ticket: str, fit: frozenset[str]) -> Future: ...
    def builders(self) -> frozenset[str]: ...
    def hand(self, address: str, attempt: str, message: Handed) -> bool: ...
    def take(self, address: str, attempt: str, offset: int) -> bytes | None: ...
    def stop(self, address: str, attempt: str) -> None: ...


@dataclass
class RemoteBuild:
    """`inbox`: what hosts say of it. `first`: who is asked first, if it is there, for it has the tree. The rest as for
    `job.build_side`."""

    hosts: BuildHostsPort
    ticket: str
    inbox: queue.SimpleQueue[JsonObject]
    plan: SidePlan
    before: SidePlan | None
    log: Path
    progress: Progress
    note: Callable[[str], None]
    first: str | None = None
    _attempt: HostAttempt | None = None
    _kernel: Kernel | None = None
    _out: set[str] = field(default_factory=set)
    _step: tuple[str, int | None, int | None] = ("waiting for a host", None, None)
    _given_up: bool = False
    _late_at: float | None = None

    def run(self) -> tuple[Kernel, str] | None:
        """The kernel, which is in the store, and who has built it; None if no host does. Raises BuildError, UsageError:
        it does not build; LabError: the scheduler is gone."""
        self._order = BuildOrder.of(self.plan, self.before)
        self._places = self._order.places(self.log)
        while fit := self._fit():
            future = self.hosts.submit_build(self.ticket, fit)
            self._given_up, self._late_at = False, None
            try:
                if (kernel := self._follow(future, fit)) is not None:
                    assert self._attempt is not None  # noqa: S101 - it has told so
                    return kernel, self._attempt.address
            finally:
                self._drop(future)
        return None

    def _fit(self) -> frozenset[str]:
        """Who may be asked now."""
        left = self.hosts.builders() - self._out
        return left & {self.first} or left

    def _drop(self, future: Future) -> None:
        if not future.done():
            if self._attempt is not None:
                self.hosts.stop(self._attempt.address, self._attempt.name)
            future.cancel()
        future.release()

    def _follow(self, future: Future, fit: frozenset[str]) -> Kernel | None:
        """As `run`; None if somebody else is to do it."""
        seen_at = time.monotonic()
        look_at = seen_at + CHECK
        while not self._given_up:
            self.progress(*self._step)  # which ends this if it is to end
            done = future.done()  # asked before the messages are taken: those behind it are only late
            while (message := next_message(self.inbox)) is not None and not self._given_up:
                self._hear(message)
            if done and not self._given_up and self._concluded(future):
                return self._kernel
            now = time.monotonic()
            if now > look_at:
                seen_at = now if self.hosts.builders() & fit else seen_at
                self._given_up = self._given_up or now - seen_at > GONE
                look_at = now + min(CHECK, GONE / 2)
        return None

    def _hear(self, message: JsonObject) -> None:
        name = str(message["attempt"])
        if "ready" in message:
            self._begin(name, message["ready"])
            return
        attempt = self._attempt
        if attempt is None or attempt.name != name:
            return  # of a host that was given up
        attempt.heard += 1
        if message["number"] != attempt.heard - 1:
            self._give_up("of what it told, something was lost")
        elif "want" in message:
            self._send(attempt)
        elif "note" in message:
            self.note(f"{attempt.host}: {message['note']}")
        elif "step" in message:
            self._step = _step(message["step"])
        elif "built" in message:
            self._take(attempt, message["built"])

    def _begin(self, name: str, ready: Json) -> None:
        """A host has time for the build."""
        assert isinstance(ready, Mapping)  # noqa: S101 - as `desk.py` sends it
        before, attempt = self._attempt, HostAttempt(name, str(ready["address"]), str(ready["host"]), heard=1)
        versions = ready["versions"]
        assert isinstance(versions, Mapping)  # noqa: S101
        self._attempt = attempt
        if other := self.hosts.refuse(attempt.address, versions):
            self.hosts.hand(attempt.address, name, {"job": "", "parcels": {}, "no": other})
            self._give_up(other)
            return
        if before is not None and before.address not in self._out:
            self.note(
                f"{self.plan.title}: its host {before.host} ({before.address}) died; the build starts again on "
                f"{attempt.host} ({attempt.address})"
            )
        self._kernel = None
        self._step = (f"building {self.plan.title} on {attempt.host}", None, None)
        self.hosts.hand(attempt.address, name, self._order)

    def _give_up(self, why: str) -> None:
        """This host: another one builds it."""
        assert self._attempt is not None  # noqa: S101 - somebody has done what is wrong
        self.note(f"{self.plan.title} is not built on {self._attempt.host} ({self._attempt.address}): {why}")
        self._out.add(self._attempt.address)
        self._given_up = True

    def _send(self, attempt: HostAttempt) -> None:
        """The base, which the host does not have. Whoever is gone meanwhile needs none."""
        with tempfile.TemporaryFile(dir=cache_dir("hosts")) as file:
            digest = pack(self.plan.base, file, self.progress)
            file.seek(0)
            while piece := file.read(CHUNK):
                self.progress(f"sending {self.plan.base.title} to {attempt.host}")
                if not self.hosts.hand(attempt.address, attempt.name, piece):
                    return
        for last in (b"", digest.encode()):
            self.hosts.hand(attempt.address, attempt.name, last)

    def _take(self, attempt: HostAttempt, size: Json) -> None:
        """The kernel, from the host's store into this one's, which looks whether it is whole."""
        assert isinstance(size, int)  # noqa: S101 - as `builder.py` sends it
        scratch = store.new_directory()
        try:
            with tempfile.TemporaryFile(dir=cache_dir("hosts")) as file:
                while (offset := file.tell()) < size:
                    self.progress(f"fetching {self.plan.title} from {attempt.host}", offset, size)
                    piece = self.hosts.take(attempt.address, attempt.name, offset)
                    if piece is None:
                        return  # it has died: what now, the build's state says
                    if not piece:
                        raise LabError(f"of {size} bytes of the kernel it has {offset}")
                    file.write(piece)
                file.seek(0)
                unpack(file, scratch)
            self._kernel = store.publish(scratch, self.plan.key)
        except LabError as error:
            self._give_up(str(error))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.hosts.hand(attempt.address, attempt.name, b"")

    def _concluded(self, future: Future) -> bool:
        """Whether it is over, with the kernel here. Raises as `run`."""
        if why := failure(future):
            self.note(f"{self.plan.title} is built by no host: {why}")
            self._out |= self.hosts.builders()
            self._given_up = True
            return False
        outcome = returned(future, self._attempt, BuildReturn)
        if outcome is None:
            self._late_at = self._late_at or time.monotonic() + LATE
            if time.monotonic() > self._late_at:
                self._out |= self.hosts.builders() if self._attempt is None else {self._attempt.address}
                self._given_up = True
            return False
        self._judge(outcome)
        return not self._given_up

    def _judge(self, outcome: BuildReturn) -> None:
        with self.log.open("ab") as file:
            file.write(gzip.decompress(outcome["log"]))
        message, hint = json.loads(self._places.real(json.dumps([outcome["message"], outcome["hint"]])))
        if outcome["kind"] == "kernel":
            raise BuildError(message, log=self.log, hint=hint or None)
        if outcome["kind"] == "usage":
            raise UsageError(message, hint=hint or None)
        if self._kernel is None:
            self._give_up(message or "the kernel did not come")
        elif self.before is not None and outcome["same"] is not None:
            keep_same(self.before.key, self.plan.key, same=outcome["same"])


def _step(told: Json) -> tuple[str, int | None, int | None]:
    assert isinstance(told, list)  # noqa: S101 - as `builder.py` sends it
    step, done, total = told
    return str(step), done if isinstance(done, int) else None, total if isinstance(total, int) else None
