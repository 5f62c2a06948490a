# SPDX-License-Identifier: GPL-2.0-or-later
"""Execution counts of the driver's instructions: the file in which the QEMU plugin counts, and reading it.

The file changes while a board runs; a copy of it (`mark`) keeps the counts at the begin of a suite. The layout is that
of `board/emulated/coverage_plugin.c`; marks have the same layout, compressed.
"""

from __future__ import annotations

import gzip
import re
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

from panthorlab.errors import LabError

LIVE: Final = "counts"
FOLDER: Final = "coverage"
"""The directory of a boot's counts and marks."""
START: Final = "(boot)"
"""Name of the period before the first suite: probe of the driver, first resume."""
AFTERWARDS: Final = "(afterwards)"
"""Name of the period after a command has ended: panthorlab's own last job."""
_MAGIC: Final = int.from_bytes(b"panthvc1", "little")
_INSN: Final = 4
_MARK: Final = re.compile(r"^(\d{3})-(.+)\.gz$")


@dataclass(frozen=True)
class Counts:
    """`values`: one for each instruction of the ranges in `text`, one range after the other."""

    text: tuple[tuple[int, int], ...]
    values: Sequence[int]

    def at(self, address: int) -> int:
        """How often the instruction at `address` ran; 0 for one outside."""
        number = bisect_right(self.text, address, key=itemgetter(0)) - 1
        if number < 0 or address >= self.text[number][1]:
            return 0
        before = sum(_insns(one) for one in self.text[:number])
        return self.values[before + (address - self.text[number][0]) // _INSN]

    def __sub__(self, earlier: Counts) -> Counts:
        return Counts(self.text, [now - then for now, then in zip(self.values, earlier.values, strict=True)])

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.text, [one + more for one, more in zip(self.values, other.values, strict=True)])


def none(text: Sequence[tuple[int, int]]) -> Counts:
    """Counts that are all zero."""
    return Counts(tuple(text), [0] * sum(map(_insns, text)))


def create(path: Path, text: Sequence[tuple[int, int]]) -> Path:
    """The file for the plugin, with nothing counted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encode(none(text)))
    return path


def read(path: Path) -> Counts:
    """A live file or a mark. Raises LabError if it is not whole; OSError."""
    data = path.read_bytes()
    try:
        return _decode(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (EOFError, gzip.BadGzipFile, struct.error, ValueError) as error:
        raise LabError(f"{path} holds no counts of instructions: {error}") from error


def mark(live: Path, suite: str) -> None:
    """Save the counts so far; from here on, counts belong to `suite`."""
    number = 1 + len(list(live.parent.glob("*.gz")))
    path = live.parent / f"{number:03}-{suite}.gz"
    path.with_suffix(".new").write_bytes(gzip.compress(live.read_bytes(), 1))
    path.with_suffix(".new").rename(path)


def by_suite(live: Path) -> list[tuple[str, Counts]]:
    """(suite, counts) of each period of a boot, in order; before the first mark, the suite is `START`."""
    found = sorted((match[1], match[2], path) for path in live.parent.iterdir() if (match := _MARK.match(path.name)))
    names = [START, *(suite for _, suite, _ in found)]
    end = read(live)
    states = [none(end.text), *(read(path) for _, _, path in found), end]
    return [(name, later - earlier) for name, earlier, later in zip(names, states[:-1], states[1:], strict=True)]


def total(parts: Iterable[Counts], text: Sequence[tuple[int, int]]) -> Counts:
    """The sum of all `parts`."""
    whole = none(text)
    for part in parts:
        whole += part
    return whole


def _insns(one: tuple[int, int]) -> int:
    return (one[1] - one[0]) // _INSN


def _encode(counts: Counts) -> bytes:
    head = [_MAGIC, len(counts.text), *(bound for one in counts.text for bound in one)]
    return array("Q", [*head, *counts.values]).tobytes()


def _decode(data: bytes) -> Counts:
    magic, number = struct.unpack_from("=QQ", data)
    words = array("Q")
    words.frombytes(data)
    if magic != _MAGIC or len(words) < 2 + 2 * number:
        raise ValueError("it begins otherwise")
    bounds = words[2 : 2 + 2 * number].tolist()
    text = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    values = words[2 + 2 * number :].tolist()
    if len(values) != sum(map(_insns, text)):
        raise ValueError("it is cut off")
    return Counts(text, values)
