# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocols by which a part of the firmware calls its owner.

`mcu.Mcu` owns the groups; `group.Group` owns its queues, its `Activity` and its `Stopping`. Each knows its owner only
by a protocol of this module.
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
    """The MCU hangs now (misdeed): the current request is left half done. `mcu`: which one."""

    def __init__(self, mcu: McuPort) -> None:
        super().__init__("the MCU hangs")
        self.mcu = mcu


class McuPort(Protocol):
    """The MCU as a group sees it. All calls return at once."""

    chip: Chip
    memory: McuMemory
    fetcher: Fetcher
    stream_params: CsParams
    suspend_buffer: SuspendBuffer
    progress_seconds: float
    """Endpoint work without progress for this time is reported; 0: never."""
    some_blocked: bool
    """Whether a stream of any group may be blocked: `wake_blocked` need not look otherwise."""

    @property
    def alive(self) -> bool:
        """The MCU runs, and its memory may be accessed."""

    def start_of_group(self, slot: int) -> None:
        """A group is about to be started on `slot`. Raises McuHangError if the MCU is to hang now."""

    def service_again(self, service: Callable[[], None]) -> None:
        """Call `service` soon, as if the driver had rung a doorbell, unless the MCU has stopped by then."""

    def wake_blocked(self) -> None:
        """A sync object changed: blocked streams of all groups check their wait again."""

    def group_changed(self) -> None:
        """A group became idle or busy, or was added or removed."""


class EventPort(Protocol):
    """How events of a slot reach the driver; see `events`."""

    def raise_event(self, bit: int) -> None:
        """Raise a CSG event. No effect while the driver has not acknowledged the previous one."""

    def deliver(self, name: str, raise_: Callable[[], None], alive: Callable[[], bool]) -> None:
        """Raise an event of a stream; misdeeds may drop or delay it, a late one is raised only if `alive()` then."""


class GroupPort(Protocol):
    """A group as its queues see it."""

    mcu: McuPort
    chip: Chip
    memory: McuMemory
    index: int
    track: str
    input: int
    output: int
    """`input`, `output`: addresses of the group's interface blocks."""
    space: AddressSpace
    heaps: GroupHeaps

    @property
    def events(self) -> EventPort: ...

    def drained(self) -> None:
        """Endpoint work of a frozen queue ended."""

    def queue_changed(self) -> None:
        """A queue ran a slice or changed its state."""

    def sync_update(self) -> None:
        """A sync object that the driver may be waiting for has changed."""

    def wake_blocked(self) -> bool:
        """A sync object of the group changed: its blocked streams check their wait again. Whether there are any."""

    def progress(self, stream: int) -> int:
        """The progress counter of a stream of this group."""


class WatchedGroup(Protocol):
    """A group as `Activity` sees it, to find out whether the group is idle or stuck."""

    mcu: McuPort
    chip: Chip
    track: str

    @property
    def events(self) -> EventPort: ...

    @property
    def idle(self) -> bool:
        """Whether all queues count as idle for the driver."""

    @property
    def working(self) -> bool:
        """Work is on endpoints that only needs time."""

    @property
    def retired(self) -> int:
        """Instructions retired so far by the queues that have such endpoint work."""


class StoppedStream(Protocol):
    """The command stream of a `StoppedQueue`."""

    @property
    def heap_address(self) -> int:
        """VA of the bound heap context, 0 if none."""

    def heap_context_bytes(self) -> bytes:
        """The heap context to be written there."""


class StoppedQueue(Protocol):
    """A queue of a group that is being stopped."""

    index: int
    heap_epoch: int
    """Epoch of the address space when the heap was bound."""

    @property
    def stream(self) -> StoppedStream: ...

    def freeze(self) -> None:
        """Run no further slice."""

    def publish(self) -> None:
        """Write EXTRACT and ACTIVE for the driver."""


class StoppingGroup(Protocol):
    """A group as `Stopping` sees it."""

    index: int
    chip: Chip
    track: str
    space: AddressSpace

    @property
    def queues(self) -> Mapping[int, StoppedQueue]: ...

    @property
    def working(self) -> bool:
        """Work is on endpoints that only needs time."""

    def publish_status(self) -> None:
        """Write the current status words of the group and its streams."""
