# SPDX-License-Identifier: GPL-2.0-or-later
"""What panthor holds for its clients, as its files in debugfs tell it: VMs, GEM objects, open files.

With no program running it must be nothing but the firmware's own. VMs are listed by every kernel (`gpuvas`), GEM
objects from 6.17 on (`gems`). A scheduling group that is lost holds its VM, a heap its objects and they theirs.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from panthorlab.board.api import BootedBoard, RemoteFileError
from panthorlab.errors import EvidenceError

ROOT: Final = "/sys/kernel/debug/dri"
RENDER_MINORS: Final = range(128, 192)
"""A GPU that is taken away and comes back has another one while somebody has the old one open."""
DIRECTORIES: Final = tuple(f"{ROOT}/{minor}" for minor in RENDER_MINORS)
SETTLE_TIME: Final = 10.0
"""Seconds for what is freed later: groups by a work queue, VMs after their page tables."""
_FIRMWARE_VM: Final = "panthor-MCU-VM"
_VM = re.compile(r"^DRM GPU VA space \((?P<name>[^)]*)\)", re.MULTILINE)
_FIRMWARE_OBJECT: Final = 0x2
_OBJECT = re.compile(r"^\S+/\d+\s.*?\s0x[0-9a-f]+\s+0x[0-9a-f]+\s+0x(?P<usage>[0-9a-f]+)(?:\s|$)", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """`vms` and `objects` besides the firmware's (`objects` is None where the kernel does not list them), and the
    commands that have the GPU open."""

    vms: int
    objects: int | None
    clients: tuple[str, ...]

    def more_than(self, other: Held) -> str:
        """What this holds that `other` does not, for a person; empty if nothing."""
        parts = [f"{self.vms - other.vms} VMs"] if self.vms > other.vms else []
        if self.objects is not None and self.objects > (other.objects or 0):
            parts.append(f"{self.objects - (other.objects or 0)} buffer objects")
        return ", ".join(parts)

    def at_most(self, other: Held) -> Held:
        """The lesser of each count. `clients` are this one's."""
        objects = self.objects if other.objects is None else min(self.objects or 0, other.objects)
        return Held(min(self.vms, other.vms), objects, self.clients)


NOTHING: Final = Held(0, 0, ())


def count_vms(gpuvas: str) -> int:
    """VMs in debugfs' `gpuvas` besides the firmware's."""
    return sum(match["name"] != _FIRMWARE_VM for match in _VM.finditer(gpuvas))


def count_objects(gems: str) -> int:
    """GEM objects in debugfs' `gems` besides those that the firmware has mapped in its own VM."""
    return sum(not int(match["usage"], 16) & _FIRMWARE_OBJECT for match in _OBJECT.finditer(gems))


def list_clients(clients: str) -> tuple[str, ...]:
    """Commands that have the GPU open, from debugfs' `clients`."""
    return tuple(line.split()[0] for line in clients.splitlines()[1:] if line.strip())


def read_held(get: Callable[[str], bytes], directories: Iterable[str]) -> Held | None:
    """What panthor holds; None if none of `directories` is its own in debugfs.

    Raises RemoteFileError; ENODEV while a VM comes or goes, for it is in the list without its name then.
    """
    return next((held for _, held in _each(get, directories)), None)


def read_gpus(get: Callable[[str], bytes], directories: Iterable[str] = DIRECTORIES) -> dict[str, Held | None]:
    """The same of each GPU, by the name of its device; None of one whose kernel does not tell."""
    return dict(_each(get, directories))


def _each(get: Callable[[str], bytes], directories: Iterable[str]) -> Iterator[tuple[str, Held | None]]:
    for directory in directories:
        name = _read(get, f"{directory}/name")
        if name is None or not name.startswith("panthor "):
            continue
        gpuvas, gems = _read(get, f"{directory}/gpuvas"), _read(get, f"{directory}/gems")
        held = None
        if gpuvas is not None:
            clients = _read(get, f"{directory}/clients") or ""
            held = Held(count_vms(gpuvas), None if gems is None else count_objects(gems), list_clients(clients))
        yield name.removeprefix("panthor ").partition(" ")[0].removeprefix("dev="), held


class Holdings:
    """What panthor holds on a board, asked over and over."""

    def __init__(self, board: BootedBoard) -> None:
        self._board, self._left = board, NOTHING
        self._alone: bool | None = None

    def now(self) -> Held | None:
        """None if the kernel does not tell (no debugfs, nothing mounted). Tries again while VMs come or go."""
        deadline = self._deadline()
        while True:
            try:
                return read_held(self._board.shell.get, DIRECTORIES)
            except RemoteFileError as error:
                if error.errno != errno.ENODEV or self._board.time.now() > deadline:
                    raise

    def required(self) -> Held:
        """What it holds now, for a test that asks nothing else. Skips it where the kernel does not tell, or would tell
        what it holds for others; raises EvidenceError on an emulated board, whose kernels all have debugfs."""
        import pytest

        if (held := self.now()) is None:
            why = "debugfs of this board does not tell what the GPU driver holds"
            if self._board.injections:
                raise EvidenceError(why)
            pytest.skip(why)
        if held.clients:
            pytest.skip(f"the GPU is open in {', '.join(held.clients)}: what its driver holds is not the tests' alone")
        return held

    def alone(self) -> bool:
        """Whether the kernel tells what it holds, and nobody had the GPU open when it first did."""
        if self._alone is None and (held := self.now()) is not None:
            self._alone = not held.clients
        return bool(self._alone)

    def left(self) -> str:
        """In words, what it holds when what is freed later has had its time; without what was reported or forgiven."""
        deadline = self._deadline()
        while (held := self.now()) is not None and (more := held.more_than(self._left)):
            if self._board.time.now() > deadline:
                self._left = held
                return f"the driver still holds {more} of processes that are gone"
            self._board.time.sleep(0.02)
        if held is not None:
            self._left = self._left.at_most(held)
        return ""

    def of_each(self) -> dict[str, str]:
        """In words, what it holds on each of several GPUs when what is freed later has had its time, by device."""
        deadline = self._deadline()
        while True:
            try:
                gpus = read_gpus(self._board.shell.get)
            except RemoteFileError as error:
                if error.errno != errno.ENODEV or self._board.time.now() > deadline:
                    raise
                continue
            left = {name: held.more_than(NOTHING) if held is not None else "" for name, held in gpus.items()}
            if not any(left.values()) or self._board.time.now() > deadline:
                return left
            self._board.time.sleep(0.02)

    def forgive(self) -> None:
        """Allow what it holds now, lost or only slow to go: nothing is waited for. What goes later is no longer
        allowed when `left` has seen it gone."""
        self._left = self.now() or self._left

    def _deadline(self) -> float:
        return self._board.time.now() + SETTLE_TIME * self._board.slowness


def _read(get: Callable[[str], bytes], path: str) -> str | None:
    try:
        return get(path).decode("utf-8", "replace")
    except RemoteFileError as error:
        if error.errno != errno.ENOENT:
            raise
        return None
