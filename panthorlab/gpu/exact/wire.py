# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface to the process that runs the guest's CPU: a shared page of counters and a socket for "the CPU is held".

The CPU's side is `panthorlab/board/emulated/exact/plugin.c`. While the CPU is held, or waits for the answer to a
register access, only the model accesses the page.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import Final

PAGE: Final = 4096
MAGIC: Final = 0x3173746361786570  # "pexacts1"
DUE: Final = 1 << 62
"""The CPU is held once `left` reaches this value."""
NEVER: Final = 1 << 61
"""An instruction count that no run reaches: four hundred years."""
_MAGIC_AT, _COUNT, _LEFT, _HASH, _END_TURN, _CPUS, _WATCH, _BEGINS = range(8)
COUNT_BYTES: Final = slice(8 * _COUNT, 8 * _COUNT + 8)
"""Place of the count in the page."""
STOP: Final = 1 << 63
"""Added to a count that the model sends to the host: no beat, the guest is to be stopped."""
HELD: Final = struct.Struct("<Q")
"""The only message, "held", and its answer, "go on": each holds the count at which the CPU is held."""


BEAT_SECONDS: Final = 0.001
"""Guest seconds between two beats, the points at which the host can act on the guest, while host and guest talk."""
MOST_BEATS: Final = 255


class WireError(ValueError):
    """The other side violates the protocol."""


def decode_held(data: bytes) -> int:
    """Decode "held": the count at which the CPU is held. Raises WireError."""
    if len(data) != HELD.size:
        raise WireError(f"{len(data)} bytes where a count of {HELD.size} is expected")
    count: int = HELD.unpack(data)[0]
    return count


def encode_go_on(count: int) -> bytes:
    """The answer to "held"."""
    return HELD.pack(count)


def encode_next_beat(beats: int) -> bytes:
    """The host's answer to a beat: let the guest run, and ask again after `beats` times `BEAT_SECONDS`."""
    return bytes([beats])


def decode_next_beat(data: bytes) -> int:
    """Decode it: from 1 to `MOST_BEATS`. Raises WireError."""
    if len(data) != 1 or not data[0]:
        raise WireError(f"{data!r} where a number of beats is expected")
    return data[0]


class Page:
    """The shared page; counts are instructions since the machine was switched on."""

    def __init__(self, fd: int) -> None:
        """Map the page-sized file `fd` and mark it with `MAGIC`."""
        self._map = mmap.mmap(fd, PAGE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._map).cast("Q")
        self._words[_MAGIC_AT] = MAGIC
        self.arm(0)

    @property
    def count(self) -> int:
        """Instructions executed, counted to the end of the CPU's current block."""
        return self._words[_COUNT]

    @property
    def blocks(self) -> int:
        """Hash of all executed blocks; 0 if it was not requested from the CPU's side."""
        return self._words[_HASH]

    @property
    def cpus(self) -> int:
        """The guest's CPUs, which run in turns: whoever of them is held, all are."""
        return self._words[_CPUS] or 1

    def end_turn(self) -> None:
        """While the CPU is held: have the next CPU go on after its block."""
        self._words[_END_TURN] = 1

    def arm(self, due: int | None) -> None:
        """Hold the CPU when its count reaches `due` (None: never). A past count holds it at once."""
        left = NEVER if due is None else max(1, due - self._words[_COUNT])
        self._words[_LEFT] = DUE - left

    @property
    def watched(self) -> int:
        """The address of `watch`, until the CPU has come there; 0 from then on."""
        return self._words[_WATCH]

    def watch(self, address: int, begins: int) -> None:
        """Hold the CPU also where the block at this address begins for the `begins`th time from now on, once. Address
        0: nowhere."""
        self._words[_WATCH], self._words[_BEGINS] = address, begins

    def close(self) -> None:
        self._words.release()
        self._map.close()


@dataclass(frozen=True)
class Ends:
    """File descriptors that the model inherits. `page`: the shared page. `sync`: socket on which the CPU's side reports
    "held". `host`: socket on which the model reports each beat to the host and waits for its answer."""

    page: int
    sync: int
    host: int

    @classmethod
    def parse(cls, text: str) -> Ends:
        """Parse `PAGE,SYNC,HOST`. Raises ValueError with a sentence for the user."""
        words = text.split(",")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"{text!r} is not three file descriptors PAGE,SYNC,HOST")
        return cls(*map(int, words))

    def __str__(self) -> str:
        return f"{self.page},{self.sync},{self.host}"
