# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot in exact time leaves with `exact.record=on`, and where the records of two boots part.

Two files of lines `KIND COUNT REST`, in the order of their counts, which are instructions of the guest: what the GPU
model did and was asked (`ACCESSES`), and what host and guest told each other (`MESSAGES`).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

ACCESSES: Final = "gpu-accesses.log"
MESSAGES: Final = "host-guest.log"
CONTEXT: Final = 8
"""Events before a difference that are told."""
_SHOWN: Final = 100
"""Bytes of a message that its line shows."""
_MEANING: Final = {
    "R": "register read",
    "W": "register write",
    "I": "interrupt",
    "T": "timer of the GPU model",
    "B": "code executed up to here",
    ">": "message of the host",
    "<": "message of the guest",
}


class RecordError(ValueError):
    """A line is not one of a record."""


@dataclass(frozen=True)
class RecordedEvent:
    """`count`: instructions of the guest up to it. `kind`: a letter; `detail`: the rest of its line."""

    kind: str
    count: int
    detail: str

    @classmethod
    def parse(cls, line: str) -> RecordedEvent:
        kind, _, rest = line.rstrip("\n").partition(" ")
        count, _, detail = rest.partition(" ")
        if kind not in _MEANING or not (count.isascii() and count.isdigit()):
            raise RecordError(f"{line[:80]!r} is not a recorded event")
        return cls(kind, int(count), detail)

    @property
    def meaning(self) -> str:
        """What kind of event it is, in words."""
        return _MEANING[self.kind]

    def __str__(self) -> str:
        return f"{self.meaning} at instruction {self.count}: {self._explained()}"

    def _explained(self) -> str:
        words = self.detail.split(" ", 1)
        if self.kind in "RW" and len(words) == 2:
            return f"0x{words[0]} {'=' if self.kind == 'R' else ':='} 0x{words[1]}"
        return self.detail


@dataclass(frozen=True)
class FirstDifference:
    """The first place where two runs are not the same. An event that one run does not have is None there; `before`: the
    last events of both up to it."""

    first: RecordedEvent | None
    second: RecordedEvent | None
    before: tuple[RecordedEvent, ...]

    @property
    def event(self) -> RecordedEvent:
        """The earlier of the two: up to it both were the same."""
        events = [event for event in (self.first, self.second) if event is not None]
        return min(events, key=lambda event: event.count)

    def __str__(self) -> str:
        first, second = (str(event) if event is not None else "no further event" for event in (self.first, self.second))
        return f"{first}  |  {second}"


def message_line(way: str, count: int, message: bytes) -> str:
    """The line of a message: its length, a digest of all of it, and how it begins. `way`: `>` to the guest, or `<`."""
    digest = hashlib.sha256(message).hexdigest()[:16]
    return f"{way} {count} {len(message)} {digest} {message[:_SHOWN]!a}\n"


def read_record(log_dir: Path) -> Iterator[RecordedEvent]:
    """All events of a boot, in the order of their counts. Raises RecordError; OSError if nothing was recorded."""
    accesses = _read(log_dir / ACCESSES)
    messages = _read(log_dir / MESSAGES) if (log_dir / MESSAGES).exists() else iter(())
    return heapq.merge(accesses, messages, key=lambda event: event.count)


def first_difference(first: Iterable[RecordedEvent], second: Iterable[RecordedEvent]) -> FirstDifference | None:
    """Where two records part; None if they are the same."""
    before: deque[RecordedEvent] = deque(maxlen=CONTEXT)
    for one, other in zip_longest(first, second):
        if one != other:
            return FirstDifference(one, other, tuple(before))
        before.append(one)
    return None


def _read(path: Path) -> Iterator[RecordedEvent]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield RecordedEvent.parse(line)
