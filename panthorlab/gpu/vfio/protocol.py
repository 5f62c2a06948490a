# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user protocol as data (numbers, layouts) and its framing as a pure codec.

Source: QEMU 11.1 hw/vfio-user/protocol.h. All numbers are in the host's byte order, which must be little endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag


class Command(IntEnum):
    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_REGION_IO_FDS = 6
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    DIRTY_PAGES = 14
    REGION_WRITE_MULTI = 15


class Flag(IntFlag):
    REPLY = 0x01  # bits 3:0 are the type: 0 request, 1 reply
    TYPE = 0x0F
    NO_REPLY = 0x10
    ERROR = 0x20


class DmaFlag(IntFlag):
    READ = 1
    WRITE = 2


class IrqFlag(IntFlag):
    """SET_IRQS flags (linux/vfio.h VFIO_IRQ_SET_*)."""

    DATA_NONE = 0x01
    DATA_BOOL = 0x02
    DATA_EVENTFD = 0x04
    ACTION_MASK = 0x08
    ACTION_UNMASK = 0x10
    ACTION_TRIGGER = 0x20


REGION_CONFIG = 7
NUM_REGIONS = 9
IRQ_MSIX = 2
NUM_IRQS = 5
DEVICE_FLAGS = 0x3  # VFIO_DEVICE_FLAGS_RESET | _PCI
REGION_READ_WRITE = 0x3
IRQ_EVENTFD = 0x1  # without NORESIZE: with it QEMU disables all vectors while it changes one

HEADER = struct.Struct("<HHIII")  # id, command, size with the header, flags, errno
VERSION = struct.Struct("<HH")  # major, minor; then JSON
DMA_MAP = struct.Struct("<IIQQQ")  # argsz, flags, offset in the fd, iova, size
DMA_UNMAP = struct.Struct("<IIQQ")  # argsz, flags, iova, size
DEVICE_INFO = struct.Struct("<IIII")  # argsz, flags, regions, irqs
REGION_INFO = struct.Struct("<IIIIQQ")  # argsz, flags, index, cap offset, size, offset
IRQ_INFO = struct.Struct("<IIII")  # argsz, flags, index, count
IRQ_SET = struct.Struct("<IIIII")  # argsz, flags, index, start, count
REGION_ACCESS = struct.Struct("<QII")  # offset, region, count; then data

MAX_TRANSFER = 1 << 20
MAX_MESSAGE = MAX_TRANSFER + HEADER.size + REGION_ACCESS.size
PAGE = 4096

CAPABILITIES = {"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": MAX_TRANSFER, "pgsizes": PAGE}}


class FramingError(Exception):
    """The byte stream is not (or no longer) valid vfio-user; the connection is unusable."""


class ProtocolError(Exception):
    """One message is invalid; it is answered with `errno` and the connection stays usable."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Message:
    """One PDU: `flags` and `errno` from the header, and `body`, the bytes after it."""

    ident: int
    command: int
    flags: int
    errno: int
    body: bytes

    def encode(self) -> bytes:
        return HEADER.pack(self.ident, self.command, HEADER.size + len(self.body), self.flags, self.errno) + self.body

    def reply(self, body: bytes = b"") -> Message:
        return Message(self.ident, self.command, Flag.REPLY, 0, body)

    def refuse(self, errno: int) -> Message:
        return Message(self.ident, self.command, Flag.REPLY | Flag.ERROR, errno, b"")

    @property
    def wants_reply(self) -> bool:
        return not self.flags & Flag.NO_REPLY


def message_size(buffer: bytes | bytearray | memoryview, at: int, end: int) -> int:
    """Size of the message at `at`; 0 if its header is incomplete before `end`. Raises FramingError."""
    if end - at < HEADER.size:
        return 0
    size: int = HEADER.unpack_from(buffer, at)[2]
    if not HEADER.size <= size <= MAX_MESSAGE:
        raise FramingError(f"a message of {size} bytes")
    return size


def split(buffer: bytes | bytearray | memoryview, start: int, end: int) -> Iterator[Message]:
    """The complete messages in `buffer[start:end]`; bytes after the last one begin the next message."""
    while (size := message_size(buffer, start, end)) and start + size <= end:
        yield decode(buffer, start, size)
        start += size


def decode(buffer: bytes | bytearray | memoryview, start: int, size: int) -> Message:
    """The message of `size` bytes at `start`."""
    ident, command, _, flags, errno = HEADER.unpack_from(buffer, start)
    return Message(ident, command, flags, errno, bytes(buffer[start + HEADER.size : start + size]))


def version_reply(request: bytes) -> bytes:
    """The reply to VERSION, never longer than the request (QEMU's buffer has that size). Raises ProtocolError."""
    if len(request) < VERSION.size:
        raise ProtocolError(22, "VERSION is too short")
    major, minor = VERSION.unpack_from(request)
    if major != 0:
        raise ProtocolError(22, f"protocol version {major}.{minor}, this server speaks 0.0")
    text = json.dumps(CAPABILITIES, separators=(",", ":")).encode() + b"\0"
    if VERSION.size + len(text) > len(request):
        text = b"{}\0"[: max(0, len(request) - VERSION.size)]
    return VERSION.pack(0, 0) + text
