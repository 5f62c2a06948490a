# SPDX-License-Identifier: GPL-2.0-or-later
"""The suspend buffer: the state of a suspended group is in guest memory, so it outlives resets as on hardware.

The layout is this firmware's own: magic, checksum of the following bytes, number of streams, then for each stream its
index, its size and the bytes of `SavedStream`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.cs.state import SavedStream, saved_size

MAGIC = 0x47534350  # "PCSG"
_HEAD = struct.Struct("<III")
_STREAM = struct.Struct("<II")
ERASED = bytes(_HEAD.size)


@dataclass(frozen=True)
class SuspendBuffer:
    """The format of one GPU: the number of streams of a group, and their instruction set."""

    streams: int
    isa: InstructionSet

    @property
    def size(self) -> int:
        """Bytes that the driver must allocate for each group: whole pages."""
        return (_HEAD.size + self.streams * (_STREAM.size + saved_size(self.isa)) + 0xFFF) & ~0xFFF

    def unpack(self, buffer: bytes) -> dict[int, SavedStream]:
        """The inverse of `pack`; trailing bytes are ignored. Raises ValueError if it holds no suspended group."""
        magic, checksum, count = _HEAD.unpack_from(buffer)
        if magic != MAGIC or count > self.streams:
            raise ValueError("no group was suspended to it")
        at = _HEAD.size
        streams = {}
        for _ in range(count):
            if at + _STREAM.size > len(buffer):
                raise ValueError("it is too short")
            index, size = _STREAM.unpack_from(buffer, at)
            at += _STREAM.size
            streams[index] = SavedStream.from_bytes(buffer[at : at + size], self.isa)
            at += size
        if zlib.crc32(buffer[_HEAD.size : at]) != checksum:
            raise ValueError("its contents were changed")
        return streams


def pack(streams: Mapping[int, SavedStream]) -> bytes:
    """The contents of a suspend buffer that holds `streams`."""
    records = [(index, saved.to_bytes()) for index, saved in sorted(streams.items())]
    body = b"".join(_STREAM.pack(index, len(data)) + data for index, data in records)
    return _HEAD.pack(MAGIC, zlib.crc32(body), len(records)) + body
