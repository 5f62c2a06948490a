# SPDX-License-Identifier: GPL-2.0-or-later
"""The interleavings that the GPU model has written down (`panthorlab/gpu/exact/order.py`): read, and compared. Pure but
for reading the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.gpu.exact.order import FILE
from panthorlab.gpu.latency import Override
from panthorlab.gpu.pci import mark_of


@dataclass(frozen=True)
class Placed:
    """An event, and its place among the equal ones of its iteration, from 1: `I job`, the 3rd."""

    text: str
    number: int

    def __str__(self) -> str:
        return f"{self.text} ({self.number}.)"


@dataclass(frozen=True)
class Drawn:
    """A latency: that of the `number`th event of its `kind`, set at instruction `count`."""

    kind: str
    number: int
    ns: int
    count: int

    def override(self, window: int) -> Override:
        """As an override in another window."""
        return Override(window, self.kind, self.number, self.ns)


@dataclass(frozen=True)
class Interleaving:
    """One iteration. `mark`: see `gpu.pci.mark_of`. `end`: None if it did not come to its end. `events`: what happened,
    in order, and at which instruction."""

    window: int
    mark: int
    begin: int
    end: int | None
    digest: str
    events: tuple[tuple[str, int], ...]
    latencies: tuple[Drawn, ...]

    @property
    def last(self) -> int:
        """The instruction at which it ends, or begins if it has not come to its end."""
        return self.begin if self.end is None else self.end

    @property
    def order(self) -> tuple[str, ...]:
        return tuple(text for text, _ in self.events)

    def drawn(self, kind: str, number: int) -> Drawn | None:
        """The latency of this event; None if it was not there."""
        return next((one for one in self.latencies if (one.kind, one.number) == (kind, number)), None)

    @property
    def contexts(self) -> frozenset[tuple[str, ...]]:
        """What the driver was doing when an event of the GPU came: the two accesses before it and the one after."""
        order = self.order
        accesses = [place for place, text in enumerate(order) if is_access(text)]
        found, at = set(), 0
        for text in order:
            if is_access(text):
                at += 1
                continue
            before = [order[access] for access in accesses[max(0, at - 2) : at]]
            after = [order[access] for access in accesses[at : at + 1]]
            found.add((*before, text, *after))
        return frozenset(found)


def is_access(text: str) -> bool:
    """Whether an event is the driver's, not the GPU's."""
    return text[:2] in ("R ", "W ")


def parse(line: str) -> Interleaving:
    """One line of the file. Raises LabError if it is none."""
    try:
        fields = json.loads(line)
        return Interleaving(
            window=int(fields["window"]),
            mark=int(fields["mark"]),
            begin=int(fields["begin"]),
            end=None if fields["end"] is None else int(fields["end"]),
            digest=str(fields["digest"]),
            events=tuple((str(text), int(count)) for text, count in fields["events"]),
            latencies=tuple(Drawn(str(kind), *map(int, numbers)) for kind, *numbers in fields["latencies"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{FILE} has a line that is no iteration ({error}): {line[:80]!r}") from error


class OrdersFile:
    """The file of one boot, which may still grow."""

    def __init__(self, log_dir: Path) -> None:
        self._path, self._at = log_dir / FILE, 0

    def take(self) -> Iterator[Interleaving]:
        """Those that have come since the last time. Raises LabError."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode().splitlines():
            yield parse(line)

    def of(self, iteration: str) -> Iterator[Interleaving]:
        """Those of this iteration, of all that have come since the last time."""
        return (one for one in self.take() if one.mark == mark_of(iteration))


def numbered(order: Sequence[str]) -> list[Placed]:
    """Each event with its place among its equals."""
    counts: dict[str, int] = {}
    placed = []
    for text in order:
        counts[text] = counts.get(text, 0) + 1
        placed.append(Placed(text, counts[text]))
    return placed


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many events from the beginning are the same."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


@dataclass(frozen=True)
class Swap:
    """Two events whose order differs: `first` comes before `second` in the run with the finding, and after it in the
    other. `neighbours`: nothing that both runs have comes between them in either."""

    first: Placed
    second: Placed
    neighbours: bool


def first_swap(faulty: Sequence[str], good: Sequence[str]) -> Swap | None:
    """The first two events of both runs that come in another order; None if there are none: they are equal, or one only
    has events that the other does not have."""
    left, right = numbered(faulty), numbered(good)
    both = set(left) & set(right)
    left, right = [event for event in left if event in both], [event for event in right if event in both]
    at = common(left, right)
    if at == len(left):
        return None
    first, second = left[at], right[at]
    return Swap(first, second, left[at + 1] == second and right[at + 1] == first)
