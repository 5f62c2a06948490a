# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the driver in one iteration of a replay, for people, and where a guest is stopped before a fault.

An iteration's place among the instructions is exact: its markers are messages of a program to the kernel log, and each
of these is also a call of the kernel that the board has written down. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.board.calls import LOG_WRITE, CodePlace
from panthorlab.errors import LabError
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.passed import CpuHeld, Passed
from panthorlab.kmsg.records import LogRecord

CLOCK: Final = 1e-6
"""Resolution of the kernel log's clock, in seconds."""


@dataclass(frozen=True)
class Span:
    """The instructions from an iteration's begin marker to its end marker. `ahead`: by how many seconds the guest's
    time (counted instructions) was ahead of the kernel log's clock at its begin."""

    begin: int
    end: int
    ahead: float

    def count_at(self, timestamp: float) -> int:
        """Instructions before a message of the kernel log in this span; may be late by a few microseconds."""
        return round((timestamp + self.ahead) / INSTRUCTION_SECONDS)


def span_of(
    iteration: str, log: Iterable[LogRecord], passed: Iterable[Passed | CpuHeld], places: Mapping[int, CodePlace]
) -> Span:
    """Where an iteration lies; one of which the kernel died has no end marker, and lies up to the last that is known.
    Raises LabError if log and calls do not agree."""
    passed = list(passed)
    writes = [one.count for one in passed if isinstance(one, Passed) and _is_log_write(places[one.address])]
    messages = [record for record in log if record.facility]  # the kernel's own have facility 0
    if len(messages) > len(writes):
        raise LabError(f"the kernel log has {len(messages)} messages of programs, and {len(writes)} were written")
    written = list(zip(messages, writes, strict=False))
    begin = next((one for one in written if one[0].text.startswith(f"panthorlab: begin id={iteration} ")), None)
    end = next((count for record, count in written if record.text == f"panthorlab: end id={iteration}"), None)
    if begin is None or begin[0].timestamp is None:
        raise LabError(f"the kernel log has no markers of {iteration}")
    end = end if end is not None else passed[-1].count + 1
    return Span(begin[1], end, begin[1] * INSTRUCTION_SECONDS - begin[0].timestamp)


def _is_log_write(place: CodePlace) -> bool:
    return place.enters and place.name == LOG_WRITE


@dataclass(frozen=True)
class DriverCall:
    """`count`: instructions before it. `stack`: number of the kernel stack that it runs on, by first use. `depth`: how
    many functions of the driver had been entered on this stack and not been left."""

    count: int
    stack: int
    depth: int
    name: str


def calls(passed: Iterable[Passed | CpuHeld], places: Mapping[int, CodePlace], stack_size: int) -> Iterator[DriverCall]:
    """All calls of the driver's functions, in order."""
    open_on: dict[int, list[int]] = {}
    numbers: dict[int, int] = {}
    for one in passed:
        if isinstance(one, CpuHeld) or places[one.address].name == LOG_WRITE:
            continue
        stack, place = (one.stack - 1) // stack_size, places[one.address]
        frames = open_on.setdefault(stack, [])
        if place.enters:
            while frames and frames[-1] <= one.stack:  # those are gone, however they were left
                frames.pop()
            yield DriverCall(one.count, numbers.setdefault(stack, len(numbers) + 1), len(frames), place.name)
            frames.append(one.stack)
        if place.leaves:  # where a function is left, its stack pointer is as at its entry
            while frames and frames[-1] <= one.stack:
                frames.pop()


def render(iteration: str, span: Span, made: Iterable[DriverCall]) -> Iterator[str]:
    """A line for each call in the span, below two about them."""
    whose = "panthor's functions and DRM's scheduler"
    yield f"# calls of {whose} in {iteration}: instructions before it, the guest's time in s, kernel stack"
    yield f"# the clock of the kernel log is {span.ahead:.6f} s behind the guest's time"
    for call in made:
        if span.begin <= call.count < span.end:
            time = call.count * INSTRUCTION_SECONDS
            yield f"{call.count:>12} {time:.9f} #{call.stack:<3} {'  ' * call.depth}{call.name}"


def stop_before(
    passed: Iterable[Passed | CpuHeld], span: Span, faults: Sequence[int], timestamp: float | None
) -> tuple[CpuHeld, bool]:
    """The last point in the span at which the CPU was held before a fault, and whether the fault came right there.

    `faults`: counts at which the GPU faulted; the first one in the span counts. If there is none, it is the kernel's
    message with this `timestamp`. Raises LabError if the CPU was not held in the span before.
    """
    at = next((count for count in faults if span.begin <= count <= span.end), None)
    if at is None and timestamp is not None:
        at = span.count_at(timestamp - CLOCK)
    last = span.end if at is None else at
    held = [one for one in passed if isinstance(one, CpuHeld) and span.begin < one.count <= last]
    if at is None or not held:
        raise LabError("nothing is known of the time before the fault", hint="gdb can be had for another iteration")
    return held[-1], held[-1].count == at and at in faults
