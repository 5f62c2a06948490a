# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiler heaps: the context that the firmware caches between HEAP_SET and the write-out, and its list of free chunks.

The layout of the 32 bytes is private to firmware and hardware and not known; this is the model's:
u32 render passes started by vertex/tiler work, u32 finished by it, u32 flags (bit 0: the first chunk was taken from
the heap descriptor), u32 finished by fragment work, u64 head of the free chunks, u64 zero. A chunk pointer is
VA | size >> 12, in headers too.
"""

from __future__ import annotations

import struct
from typing import Protocol

_CONTEXT = struct.Struct("<4I2Q")
CONTEXT_SIZE = _CONTEXT.size
CHUNK_VA = (1 << 64) - 1 & ~0xFFF


class HeapUser(Protocol):
    """A stream that has bound a heap context, as far as the others that have bound it depend on it."""

    handler_depth: int
    """Not 0 while it runs its exception handler."""

    @property
    def lacks_chunks(self) -> bool:
        """Its tiler work was refused memory, and no exception handler has been called for that yet."""

    def handler_called(self) -> None:
        """An exception handler of this heap, maybe another stream's, has been called for what this one lacks."""

    def take_exception(self) -> bool:
        """Call its exception handler now, if it can. False: it has none, runs it already, or is in an error."""


class HeapContext:
    """The cached heap context at `address`, shared by the streams of one group that bound it (`users`).

    Out of memory is an exception of the heap: any of its streams may have the handler. PanVK registers it on the
    fragment queue, around its wait for the vertex queue, which runs out of chunks (panvk `issue_fragment_jobs`).
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
        """An exception handler of one of the streams runs."""
        return any(user.handler_depth for user in self.users)

    @property
    def pending(self) -> bool:
        """Out of memory, and no handler has been called for it yet."""
        return any(user.lacks_chunks for user in self.users)

    def raise_exception(self, first: HeapUser) -> None:
        """Call one exception handler, that of `first` if it has one; else out of memory stays pending."""
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

    The vertex queue of a Vulkan driver starts render passes and its fragment queue finishes them on the same heap:
    each must see the other's counts and chunks before anything is written to memory. So a group's streams share one
    of these.
    """

    def __init__(self) -> None:
        self._contexts: dict[int, HeapContext] = {}

    def bind(self, address: int, data: bytes, user: HeapUser) -> HeapContext:
        """The context at `address`: the cached one if a stream of the group has it bound, else `data` from memory."""
        context = self._contexts.setdefault(address, HeapContext(address, data))
        context.users.append(user)
        return context

    def release(self, context: HeapContext, user: HeapUser) -> None:
        """`user` does not use it any more; the last one gone, the cache forgets it."""
        context.users.remove(user)
        if not context.users:
            del self._contexts[context.address]
