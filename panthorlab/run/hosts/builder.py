# SPDX-License-Identifier: GPL-2.0-or-later
"""A build's host: what runs in a process of `dask worker` that builds. The counterpart of `remotebuild.py`.

The kernel is built as ever, from a private tree in this host's cache into its store: here, too, a patch is only blamed
if the other side builds in the same place. The controller has said what it is made of, and takes what comes of it.
"""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, Final, Literal, TypedDict

from distributed import get_worker

from panthorlab.errors import BuildError, LabError, PanthorlabError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.job import build_side, known_same, same_source
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.sent import SentSource
from panthorlab.run.hosts.desk import INTERRUPTED, Desk, Leash, at_desk, tidy
from panthorlab.run.hosts.orders import LOG, BuildOrder
from panthorlab.run.hosts.places import HostPaths

SELDOM: Final = 1.0
"""Seconds between what is told of one step: a compiler ends many times in that."""
TREE: Final = "tree"
"""What the controller calls the packed base."""


class BuildReturn(TypedDict):
    """What comes of a build. `kind`: the kernel is here, it does not build, cannot be asked for, or this host failed;
    then `message` and `hint` are the error's. `same`: as `job.same_source`. `log`: what the build has written, packed;
    `told`: so many messages."""

    kind: Literal["built", "kernel", "usage", "lab"]
    message: str
    hint: str
    same: bool | None
    log: bytes
    told: int
    attempt: str


def build(topic: str, ticket: str, lease: float) -> BuildReturn:
    """Build what the controller orders when it hears that this host is ready for it. `lease`: as of `desk.boot`."""
    with (
        at_desk(Desk(topic, ticket, Leash(get_worker(), lease))) as desk,
        tempfile.TemporaryDirectory(dir=tidy(), prefix=f"build-{os.getpid()}-") as folder,
    ):
        work = _Build(desk, Path(folder))
        done: BuildReturn = {
            "kind": "built", "message": "", "hint": "", "same": None, "log": b"", "told": 0, "attempt": desk.attempt,
        }  # fmt: skip
        try:
            desk.tell_ready()
            done["same"] = work.run()
        except (PanthorlabError, OSError) as error:
            done["kind"] = _kind(error)
            text = json.dumps([str(error), getattr(error, "hint", None) or ""])
            done["message"], done["hint"] = json.loads(work.places.named(text))
        written = work.log.read_bytes() if work.log.exists() else b""
        return {**done, "log": gzip.compress(written, 1), "told": desk.told}


def _kind(error: Exception) -> Literal["kernel", "usage", "lab"]:
    if isinstance(error, BuildError):
        return "kernel"
    return "usage" if isinstance(error, UsageError) else "lab"


class _Build:
    """One attempt, in a folder of its own. `places`: of what messages speak."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._desk, self._folder, self.log = desk, folder, folder / LOG
        self.places = HostPaths({"log": self.log})
        self._step, self._told_at = "", 0.0

    def run(self) -> bool | None:
        """Until the controller has the kernel; see `BuildReturn.same`. Raises what `job.build_side` does."""
        order = self._desk.next()
        if isinstance(order, dict):
            raise LabError(order["no"])
        assert isinstance(order, BuildOrder)  # noqa: S101 - pieces are sent when they are asked for
        same = None if order.before is None else known_same(order.before.key, order.plan.key)
        kernel = store.load(order.plan.key, self._note)
        if kernel is None:
            order = self._placed(order)
            plan, before = order.plan, order.before
            kernel = build_side(plan, log=self.log, progress=self._progress, note=self._note, before=before)
            same = None if before is None else same_source(before, plan)
        self._give(kernel)
        return same

    def _placed(self, order: BuildOrder) -> BuildOrder:
        """The order with the files of this host, which has the tree from now on."""
        toolchain = order.toolchain(self._progress)
        source = SentSource(order.plan.base.key, order.plan.base.title, self._fetch_tree)
        tree = trees.open_base(source, self._progress).path
        placed = order.placed(tree, self._folder, toolchain)
        self.places = placed.places(self.log)
        return placed

    def _fetch_tree(self, file: IO[bytes]) -> str:
        self._desk.fetch(TREE, file)
        digest = self._desk.next()  # known to whoever sends it when it is packed
        return digest.decode() if isinstance(digest, bytes) else ""

    def _give(self, kernel: Kernel) -> None:
        """Let the controller take the kernel, and wait until it has."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for path in sorted(kernel.path.iterdir()):
                    tar.add(path, path.name)
            size = file.tell()
            file.flush()  # it is read by its descriptor
            self._desk.packed = file
            try:
                self._desk.tell("built", size)
                self._desk.next()
            finally:
                self._desk.packed = None

    def _progress(self, step: str, done: int | None = None, total: int | None = None, /) -> None:
        """Also ends the build, if it is to end: there is something to tell whenever a program of it says a word."""
        if self._desk.stop.is_set():
            raise LabError(INTERRUPTED)
        now = time.monotonic()
        if step != self._step or now - self._told_at > SELDOM:
            self._desk.tell("step", [step, done, total])
            self._step, self._told_at = step, now

    def _note(self, text: str) -> None:
        self._desk.tell("note", text)
