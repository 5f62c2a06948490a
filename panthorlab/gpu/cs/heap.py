# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiler heaps: the context that the firmware caches between HEAP_SET and the write-out, and its list of free chunks.

The layout of the 32 bytes is private to firmware and hardware and not known; this is the model's (csf facts 8.3):
u32 render passes started by vertex/tiler work, u32 finished by it, u32 flags (bit 0: the first chunk was taken from
the heap descriptor), u32 finished by fragment work, u64 head of the free chunks, u64 zero. A chunk pointer is
VA | size >> 12, in headers too.
"""

from __future__ import annotations

import struct

_CONTEXT = struct.Struct("<4I2Q")
CONTEXT_SIZE = _CONTEXT.size
CHUNK_VA = (1 << 64) - 1 & ~0xFFF


class HeapContext:
    """The cached heap context at `address`, shared by the streams of one group that bound it."""

    __slots__ = ("address", "flags", "frag_end", "free", "vt_end", "vt_start")

    def __init__(self, address: int, data: bytes) -> None:
        self.address = address
        self.vt_start, self.vt_end, self.flags, self.frag_end, self.free, _ = _CONTEXT.unpack(data)

    def to_bytes(self) -> bytes:
        return _CONTEXT.pack(self.vt_start, self.vt_end, self.flags, self.frag_end, self.free, 0)

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
        self._contexts: dict[int, tuple[HeapContext, int]] = {}

    def bind(self, address: int, data: bytes) -> HeapContext:
        """The context at `address`: the cached one if a stream of the group has it bound, else `data` from memory."""
        context, users = self._contexts.get(address) or (HeapContext(address, data), 0)
        self._contexts[address] = (context, users + 1)
        return context

    def release(self, context: HeapContext) -> None:
        """One stream less uses it; the last one gone, the cache forgets it."""
        _, users = self._contexts[context.address]
        if users > 1:
            self._contexts[context.address] = (context, users - 1)
        else:
            del self._contexts[context.address]
