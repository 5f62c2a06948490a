# SPDX-License-Identifier: GPL-2.0-or-later
"""A digest of all accesses and interrupts with their instruction counts; equal runs have equal digests."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final, TextIO

_ACCESS = struct.Struct("<cQQI")
_INTERRUPT = struct.Struct("<cQ8s")
_PLACE_BITS: Final = 32


def place_of(gpu: int) -> int:
    """Where the registers of one of several GPUs begin, in the offsets that are recorded: those of the first at 0."""
    return gpu << _PLACE_BITS


def gpu_of(offset: int) -> tuple[int, int]:
    """Whose register it is that was recorded with this offset, and its offset there."""
    return offset >> _PLACE_BITS, offset & ((1 << _PLACE_BITS) - 1)


class Digest:
    """SHA-256 over register accesses and interrupts. `record`: file that also gets each as a line of text, to compare
    runs: `R|W COUNT OFFSET VALUE`, `I COUNT LINE`; and what is in no digest but says where runs part: `T COUNT NAME`, a
    timer of the model that has run, and `B COUNT HASH`, all blocks that the CPU has executed up to where it is held."""

    def __init__(self, record: TextIO | None = None) -> None:
        self._sum = hashlib.sha256()
        self._record = record
        self.last: tuple[str, int, int | str, int] | None = None
        """The last of them: R, W or I, its count, offset or line, and value."""

    def read(self, count: int, offset: int, value: int) -> None:
        self._access(b"R", count, offset, value)

    def write(self, count: int, offset: int, value: int) -> None:
        self._access(b"W", count, offset, value)

    def interrupt(self, count: int, line: str) -> None:
        """Record an interrupt of the guest."""
        self._sum.update(_INTERRUPT.pack(b"I", count, line.encode()))
        self.last = "I", count, line, 0
        if self._record is not None:
            self._record.write(f"I {count} {line}\n")

    def describe_last(self, name_of: Callable[[int], str]) -> str:
        """The last of them in words. `name_of`: the name of the register at an offset."""
        if self.last is None:
            return "nothing was done to the GPU yet"
        kind, count, what, value = self.last
        if isinstance(what, str):
            return f"interrupt {what} at instruction {count}"
        verb = "read as" if kind == "R" else "written with"
        return f"{name_of(what)} {verb} 0x{value:x} at instruction {count}"

    @property
    def recording(self) -> bool:
        """Whether there is a record beside the digest."""
        return self._record is not None

    def timer(self, count: int, name: str) -> None:
        """Record a timer of the model after it has run."""
        if self._record is not None:
            self._record.write(f"T {count} {name}\n")

    def blocks(self, count: int, blocks: int) -> None:
        """Record the hash of all executed blocks, if there is one."""
        if self._record is not None and blocks:
            self._record.write(f"B {count} {blocks:016x}\n")

    def hexdigest(self) -> str:
        """The digest of everything recorded so far."""
        return self._sum.hexdigest()

    def _access(self, kind: bytes, count: int, offset: int, value: int) -> None:
        self._sum.update(_ACCESS.pack(kind, count, offset, value & 0xFFFFFFFF))
        self.last = kind.decode(), count, offset, value
        if self._record is not None:
            self._record.write(f"{kind.decode()} {count} {offset:x} {value:x}\n")
