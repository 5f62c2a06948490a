# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of the agent protocol (`panthorlab/guest/agent.h` is its definition). Pure: no I/O."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from panthorlab.errors import UsageError

PORT_NAME = "org.panthorlab.agent"
VERSION = 1
MAX_SIZE = 65536
WINDOW = 65536
HEADER = struct.Struct("<III")
_HELLO = struct.Struct("<IQ36s")


class FrameType(IntEnum):
    """Below 128: host to guest; from 128: guest to host."""

    EXEC = 1
    PUT = 2
    GET = 3
    STDIN = 4
    KILL = 5
    PING = 6
    HELLO = 129
    STDOUT = 130
    STDERR = 131
    EXIT = 132
    CREDIT = 133
    PONG = 134
    ERROR = 135


class FrameError(ValueError):
    """The bytes do not follow this protocol."""


@dataclass(frozen=True)
class Frame:
    """One message about process `id` (0: the module loader, or none)."""

    id: int
    type: FrameType
    data: bytes = b""


@dataclass(frozen=True)
class Hello:
    """The agent's first message. `uptime`: seconds since the guest booted (CLOCK_BOOTTIME)."""

    uptime: float
    boot_id: str


def encode(frame: Frame) -> bytes:
    if len(frame.data) > MAX_SIZE:
        raise FrameError(f"{frame.type.name} of {len(frame.data)} bytes is larger than a frame can be ({MAX_SIZE})")
    return HEADER.pack(len(frame.data), frame.id, frame.type) + frame.data


class FrameDecoder:
    """Splits chunks of bytes, cut anywhere, into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises FrameError at the first invalid one."""
        self._pending += data
        frames = []
        offset = 0
        while len(self._pending) - offset >= HEADER.size:
            size, number, kind = HEADER.unpack_from(self._pending, offset)
            if size > MAX_SIZE:
                raise FrameError(f"frame of {size} bytes")
            try:
                frame_type = FrameType(kind)
            except ValueError:
                raise FrameError(f"frame of unknown type {kind}") from None
            end = offset + HEADER.size + size
            if end > len(self._pending):
                break
            frames.append(Frame(number, frame_type, bytes(self._pending[offset + HEADER.size : end])))
            offset = end
        del self._pending[:offset]
        return frames


def exec_frame(number: int, argv: Sequence[str], env: Mapping[str, str], *, with_stdin: bool) -> Frame:
    """Start `argv` with exactly `env`. Raises ValueError for NUL bytes in an argument or an empty `argv`, UsageError
    for more than a frame takes."""
    words = [word.encode("utf-8", "surrogateescape") for word in (*argv, *(f"{k}={v}" for k, v in env.items()))]
    if not argv or not argv[0]:
        raise ValueError("no program given")
    if any(b"\0" in word for word in words):
        raise ValueError("NUL byte in an argument")
    data = struct.pack("<II", with_stdin, len(argv)) + b"".join(word + b"\0" for word in words)
    if len(data) > MAX_SIZE:
        raise UsageError(
            f"the command `{argv[0][:40]}` is {len(data)} bytes long with its environment, and {MAX_SIZE} is the most",
            hint="give it what is long in a file, or by stdin",
        )
    return Frame(number, FrameType.EXEC, data)


def put_frame(number: int, path: str, *, mode: int, size: int) -> Frame:
    return Frame(number, FrameType.PUT, struct.pack("<IQ", mode, size) + _path(path))


def get_frame(number: int, path: str) -> Frame:
    return Frame(number, FrameType.GET, _path(path))


def kill_frame(number: int, signal: int) -> Frame:
    return Frame(number, FrameType.KILL, struct.pack("<I", signal))


def parse_hello(data: bytes) -> Hello:
    if len(data) != _HELLO.size:
        raise FrameError(f"HELLO of {len(data)} bytes")
    version, uptime_ns, boot_id = _HELLO.unpack(data)
    if version != VERSION:
        raise FrameError(f"the agent speaks version {version}, the host {VERSION}: rebuild the guest programs")
    return Hello(uptime_ns / 1e9, boot_id.decode("ascii", "replace"))


def parse_exit(data: bytes) -> int:
    """Exit status, or -signal."""
    if len(data) != 4:
        raise FrameError(f"EXIT of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def parse_credit(data: bytes) -> int:
    if len(data) != 4:
        raise FrameError(f"CREDIT of {len(data)} bytes")
    return int.from_bytes(data, "little")


def _path(path: str) -> bytes:
    encoded = path.encode("utf-8", "surrogateescape")
    if not encoded or b"\0" in encoded:
        raise ValueError(f"not a path: {path!r}")
    return encoded + b"\0"
