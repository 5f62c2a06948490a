# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocols by which a command stream uses the rest of the GPU: its address space and the firmware.

The interpreter (`panthorlab.gpu.cs`) knows only these protocols, so it is tested without a GPU, and the device
(`panthorlab.gpu`) implements them without knowing instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol


class Access(IntEnum):
    """Access type as in AS_FAULTSTATUS bits 9:8 (panthor_mmu.c, `access_type_name`)."""

    ATOMIC = 0
    EXECUTE = 1
    READ = 2
    WRITE = 3


class Requester(IntEnum):
    """The unit that accesses memory; it decides AS_FAULTSTATUS.source_id (docs/fidelity.md, "Walks and faults")."""

    PREFETCH = 0  # ring buffer and stream fetch
    LSU = 12  # load/store, sync objects
    MCU = 13  # the firmware itself, e.g. the heap context write-out
    TILER = 51  # tiler writing into heap chunks
    SHADER = 1  # shader core


class MemoryFault(Exception):  # noqa: N818 - the hardware's word
    """The walk failed. The MMU has already latched AS_FAULTSTATUS/ADDRESS and raised its interrupt."""

    def __init__(self, va: int, exception_type: int, access: Access) -> None:
        super().__init__(f"0x{va:x}: 0x{exception_type:x} {access.name}")
        self.va, self.exception_type, self.access = va, exception_type, access


class MemoryStall(Exception):  # noqa: N818 - not an error
    """The address lies in a LOCKed region: nothing happened, try again when the MMU releases it."""

    def __init__(self, va: int) -> None:
        super().__init__(f"0x{va:x} is locked")
        self.va = va


class BusError(Exception):
    """The address space is in unmapped mode: the access is terminated and no MMU interrupt is raised."""

    def __init__(self, va: int) -> None:
        super().__init__(f"0x{va:x}: address space disabled")
        self.va = va


class Memory(Protocol):
    """A GPU address space. Every access walks the page tables when it is made; accesses may cross pages."""

    def read(self, va: int, size: int, requester: Requester) -> bytes:
        """`size` bytes at `va`. Raises MemoryFault, MemoryStall or BusError; then nothing was read."""

    def write(self, va: int, data: bytes, requester: Requester) -> None:
        """Store `data` at `va`. Raises like `read`; then nothing was written (all pages are checked first)."""


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class FirmwarePort(Protocol):
    """The firmware and the GPU as one command stream sees them. All calls return at once."""

    def sync_update(self) -> None:
        """A SYNC_ADD/SET with system scope was executed: raise CSG SYNC_UPDATE and wake blocked streams."""

    def wake_group(self) -> None:
        """A SYNC_ADD/SET with CSG scope was executed: re-evaluate the blocked streams of this group."""

    def wake(self) -> None:
        """This stream can make progress again (a timer fired): schedule its next slice."""

    def raise_fault(self, exception_type: int, data: int, info: int) -> None:
        """Report CS_FAULT; the stream has paused itself until `CommandStream.acknowledge_fault`."""

    def raise_fatal(self, exception_type: int, data: int, info: int) -> None:
        """Report CS_FATAL; the stream is dead until the group is terminated."""

    def raise_tiler_oom(self) -> None:
        """Report TILER_OOM; the answer comes through `CommandStream.answer_tiler_oom`."""

    def flush_caches(self) -> None:
        """A full clean and invalidate completed: LATEST_FLUSH goes up by one (24 bits, 0 is skipped)."""

    @property
    def latest_flush(self) -> int:
        """Register LATEST_FLUSH."""

    def timestamp(self) -> int:
        """Register TIMESTAMP: system counter ticks."""

    def cycle_count(self) -> int:
        """Register CYCLE_COUNT: GPU core clock ticks."""

    def progress(self, queue: int) -> int:
        """Progress counter of command stream `queue` of the same group (PROGRESS_WAIT)."""

    def call_later(self, seconds: float, function: Callable[[], None]) -> TimerHandle:
        """Run `function` once in the model's event loop."""

    def misbehaves(self, name: str) -> bool:
        """Whether misdeed `name` (`panthorlab.gpu.misbehave`) happens on this occasion."""

    def lateness(self, endpoint: str) -> float:
        """Seconds by which misdeed `work-late` prolongs the work that starts now on `endpoint`; 0: none."""

    def unmodelled(self, kind: str, text: str) -> None:
        """The stream used something that is not emulated: report it once per kind; it spoils the iteration."""
