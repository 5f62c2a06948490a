# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the firmware need of those above them: a group of the MCU; queues, a watch and what stops it of
their group.

`mcu` has groups, `group` has the rest; each is made knowing the one above it only by these protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class StoppedStream(Protocol):
    """The command stream of a queue that is stopped."""

    @property
    def heap_address(self) -> int:
        """VA of the bound heap context, 0 if none."""

    def heap_context_bytes(self) -> bytes:
        """What is to be written there."""


class StoppedQueue(Protocol):
    """A queue of a group that is stopped."""

    index: int
    heap_epoch: int
    """Of the address space, when the heap was bound."""

    @property
    def stream(self) -> StoppedStream: ...

    def freeze(self) -> None:
        """No further slice."""

    def publish(self) -> None:
        """EXTRACT and ACTIVE for the driver."""


class StoppingGroup(Protocol):
    """What stops a group, and what is written out of it then."""

    chip: Chip
    track: str
    space: AddressSpace

    @property
    def queues(self) -> Mapping[int, StoppedQueue]: ...

    @property
    def working(self) -> bool:
        """Work is on endpoints that only needs time."""

    def publish_status(self) -> None:
        """Status words of the group and its streams, as of now."""
