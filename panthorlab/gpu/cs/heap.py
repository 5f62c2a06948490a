# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiler heaps: the context that the firmware caches between HEAP_SET and the write-out, and its list of free chunks.

The layout of the 32 bytes is private to firmware and hardware and unknown. The model uses its own:
u32 render passes started by vertex/tiler work, u32 finished by it, u32 flags (bit 0: the first chunk was taken from
the heap descriptor), u32 finished by fragment work, u64 head of the free chunks, u64 zero. A chunk pointer is
VA | size >> 12, also in chunk headers.
"""

from __future__ import annotations

import struct
from typing import Protocol

_CONTEXT = struct.Struct("<4I2Q")
CONTEXT_SIZE = _CONTEXT.size
CHUNK_VA = (1 << 64) - 1 & ~0xFFF


class HeapUser(Protocol):
    """A stream that has bound a heap context, as the other streams bound to the same context see it."""

    handler_depth: int
    """Not 0 while the stream runs its exception handler."""

    @property
    def lacks_chunks(self) -> bool:
        """The stream's tiler work ran out of memory, and no exception handler has been called for that yet."""

    def handler_called(self) -> None:
        """An exception handler, maybe of another stream of the heap, was called for this stream's lack of chunks."""

    def take_exception(self) -> bool:
        """Call the stream's exception handler now. False: it has none, already runs it, or is in an error state."""


class HeapContext:
    """The cached heap context at `address`, shared by the streams of one group that bound it (`users`).

    Out of memory is an exception of the heap, and the handler may belong to any of its streams. PanVK registers it on
    the fragment queue, while that waits for the vertex queue, which runs out of chunks (panvk `issue_fragment_jobs`).
    """

    __slots__ = ("address", "flags", "frag_end", "free", "users", "vt_end", "vt_start")

    def __init__(self, address: int, data: bytes) -> None:
        self.address = address
        self.users: list[HeapUser] = []
        self.vt_start, self.vt_end, self.flags, self.frag_end, self.free, _ = _CONTEXT.unpack(data)

    def to_bytes(self) -> bytes:
        return _CONTEXT.pack(self.vt_start, self.vt_end, self.flags, self.frag_end, self.free, 0)

    @property
    def handling(self) -> bool:
        """Whether any of the streams runs its exception handler."""
        return any(user.handler_depth for user in self.users)

    @property
    def pending(self) -> bool:
        """Whether a stream is out of memory and no handler has been called for it yet."""
        return any(user.lacks_chunks for user in self.users)

    def raise_exception(self, first: HeapUser) -> None:
        """Call one exception handler, preferably that of `first`. If no stream can, out of memory stays pending."""
        for user in (first, *(user for user in self.users if user is not first)):
            if user.take_exception():
                return

    def count(self, operation: int) -> None:
        """HEAP_OPERATION: 0 vertex/tiler started, 1 vertex/tiler completed, 3 fragment completed."""
        if operation == 0:
            self.vt_start = (self.vt_start + 1) & 0xFFFFFFFF
        elif operation == 1:
            self.vt_end = (self.vt_end + 1) & 0xFFFFFFFF
        else:
            self.frag_end = (self.frag_end + 1) & 0xFFFFFFFF


class GroupHeaps:
    """The heap contexts that the streams of one group have bound.

    The vertex queue of a Vulkan driver starts render passes and its fragment queue finishes them on the same heap. Each
    must see the other's counts and chunks before they are written to memory, so a group's streams share one
    `GroupHeaps`.
    """

    def __init__(self) -> None:
        self._contexts: dict[int, HeapContext] = {}

    def bind(self, address: int, data: bytes, user: HeapUser) -> HeapContext:
        """The context at `address`: the cached one if a stream of the group has bound it, else one made from `data`."""
        context = self._contexts.setdefault(address, HeapContext(address, data))
        context.users.append(user)
        return context

    def release(self, context: HeapContext, user: HeapUser) -> None:
        """`user` no longer uses `context`; after its last user the context leaves the cache."""
        context.users.remove(user)
        if not context.users:
            del self._contexts[context.address]
