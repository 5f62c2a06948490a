# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the firmware need of those above them: a group of the MCU, a queue and a watch of their group.

`mcu` has groups, `group` has queues and a watch; each is made knowing the one above it only by these protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from panthorlab.gpu.chip import Chip
from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.fw.memory import McuMemory
from panthorlab.gpu.fw.suspend import SuspendBuffer
from panthorlab.gpu.mmu.unit import AddressSpace


class McuHangError(Exception):
    """The MCU is to hang here: what is being served is left half done."""


class McuPort(Protocol):
    """What a group may ask of the MCU. All calls return at once."""

    chip: Chip
    memory: McuMemory
    fetcher: Fetcher
    stream_params: CsParams
    suspend_buffer: SuspendBuffer
    progress_seconds: float
    """Endpoint work that makes no progress for so long is reported; 0: never."""

    @property
    def alive(self) -> bool:
        """It runs, and its memory may be touched."""

    def start_of_group(self, slot: int) -> None:
        """A group is about to be started on `slot`. Raises McuHangError if the MCU is to hang now."""

    def service_again(self, service: Callable[[], None]) -> None:
        """Call `service` soon, as if the driver had rung, unless the MCU has stopped by then."""

    def wake_blocked(self) -> None:
        """A sync object changed somewhere: blocked streams of all groups look again."""

    def group_changed(self) -> None:
        """A group became idle or busy, came or went."""


class EventPort(Protocol):
    """How events of a slot reach the driver; see `events`."""

    def raise_event(self, bit: int) -> None:
        """A CSG event; one that the driver has not taken yet stands for this one, too."""

    def deliver(self, name: str, raise_: Callable[[], None], alive: Callable[[], bool] = lambda: True) -> None:
        """Raise an event of the group or of one of its streams, unless the GPU is to misbehave."""


class GroupPort(Protocol):
    """What a queue may ask of the group that it is of."""

    mcu: McuPort
    chip: Chip
    memory: McuMemory
    index: int
    track: str
    input: int
    output: int
    """Of the group's interface blocks."""
    space: AddressSpace
    heaps: GroupHeaps

    @property
    def events(self) -> EventPort: ...

    def drained(self) -> None:
        """Endpoint work of a frozen queue ended."""

    def queue_changed(self) -> None:
        """After a slice."""

    def sync_update(self) -> None:
        """A sync object that the driver may be waiting for has changed."""

    def wake_blocked(self) -> None:
        """A sync object of the group changed: let its blocked streams look again."""

    def progress(self, stream: int) -> int:
        """The progress counter of a stream of this group."""


class WatchedGroup(Protocol):
    """What is looked at to find out whether a group is idle, or stuck."""

    mcu: McuPort
    chip: Chip
    track: str

    @property
    def events(self) -> EventPort: ...

    @property
    def idle(self) -> bool:
        """Nothing to do, as the driver defines it."""

    @property
    def working(self) -> bool:
        """Work is on endpoints that only needs time."""

    @property
    def retired(self) -> int:
        """Instructions so far of the queues with such work."""
