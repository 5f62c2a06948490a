# SPDX-License-Identifier: GPL-2.0-or-later
"""What the model shares with whoever runs the guest's CPU: a page of counters, and a socket for "the CPU is held".

The CPU's side is `panthorlab/board/emulated/exact/plugin.c`. While the CPU is held, or waits for an answer to a
register access, the page is the model's to change: nobody else touches it.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import Final

PAGE: Final = 4096
MAGIC: Final = 0x3173746361786570  # "pexacts1"
DUE: Final = 1 << 62
"""The CPU is held as soon as `left` is not below this."""
NEVER: Final = 1 << 61
"""Instructions that no run gets to: four hundred years."""
_MAGIC_AT, _COUNT, _LEFT, _HASH = range(4)
HELD: Final = struct.Struct("<Q")
"""The only message, and its answer: the count at which the CPU is held, and may go on."""


class WireError(ValueError):
    """The other side does not keep to the protocol."""


def decode_held(data: bytes) -> int:
    """The count at which the CPU is held. Raises WireError."""
    if len(data) != HELD.size:
        raise WireError(f"{len(data)} bytes where a count of {HELD.size} is expected")
    count: int = HELD.unpack(data)[0]
    return count


def encode_go_on(count: int) -> bytes:
    """The answer to `held`."""
    return HELD.pack(count)


class Page:
    """The shared page; counts are instructions since the machine was switched on."""

    def __init__(self, fd: int) -> None:
        """Maps the file, which has the size of a page, and makes it known as such a page."""
        self._map = mmap.mmap(fd, PAGE, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._map).cast("Q")
        self._words[_MAGIC_AT] = MAGIC
        self.arm(0)

    @property
    def count(self) -> int:
        """How far the CPU is: up to the end of the block that it is in."""
        return self._words[_COUNT]

    @property
    def blocks(self) -> int:
        """Hash of all blocks that were executed; 0 if the CPU's side was not asked for it."""
        return self._words[_HASH]

    def arm(self, due: int | None) -> None:
        """Have the CPU held when its count is `due`; None: never. What is past is due at once."""
        left = NEVER if due is None else max(1, due - self._words[_COUNT])
        self._words[_LEFT] = DUE - left

    def close(self) -> None:
        self._words.release()
        self._map.close()


@dataclass(frozen=True)
class Ends:
    """File descriptors that the model inherits. `page`: of the shared page. `sync`: where the CPU says that it is held.
    `host`: where the model says that the host may look, and waits until it has."""

    page: int
    sync: int
    host: int

    @classmethod
    def parse(cls, text: str) -> Ends:
        """From `PAGE,SYNC,HOST`. Raises ValueError with a sentence for the user."""
        words = text.split(",")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"{text!r} is not three file descriptors PAGE,SYNC,HOST")
        return cls(*map(int, words))

    def __str__(self) -> str:
        return f"{self.page},{self.sync},{self.host}"
