# SPDX-License-Identifier: GPL-2.0-or-later
"""From what a board's kernel has traced to the lines of a recording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from panthorlab.mmio.ftrace import LostEvents, TraceError, TraceEvent, parse_access, parse_trace
from panthorlab.mmio.places import MappedRegisters
from panthorlab.mmio.recording import OtherEvent, RegisterAccess

_STAT: Final = re.compile(r"^(overrun|dropped events|commit overrun): (\d{1,18})$", re.MULTILINE)


def assemble(
    trace: Iterable[str], places: MappedRegisters, stats: Mapping[int, str]
) -> tuple[tuple[RegisterAccess | OtherEvent, ...], bool]:
    """Accesses to the registers at `places`, and other events; and whether that is all. `stats`: of each CPU,
    `per_cpu/cpuN/stats`. Buffers keep what came first: all ends where the first of them was full.

    Raises TraceError for a trace that is damaged, or has the driver use registers that are not at `places`.
    """
    events = list(_whole(trace))
    full = {cpu for cpu, text in stats.items() if lost_on(text)}
    ends = [max((event.time for event in events if event.cpu == cpu), default=0) for cpu in full]
    end = min(ends, default=None)
    found: list[RegisterAccess | OtherEvent] = []
    for event in events:
        if end is not None and event.time > end:
            break
        line = _line(event, places)
        if line is not None:
            found.append(line)
    return tuple(replace(line, time=line.time - found[0].time) for line in found), end is None


def lost_on(stats: str) -> int:
    """Events that a CPU's buffer had no room for."""
    return sum(int(count) for _, count in _STAT.findall(stats))


def _whole(trace: Iterable[str]) -> Iterable[TraceEvent]:
    last = 0
    for event in parse_trace(trace):
        if isinstance(event, LostEvents):
            raise TraceError(f"the kernel has lost {event.count or 'an unknown number of'} events in the middle")
        if event.time < last:
            raise TraceError(f"time goes back from {last} to {event.time} us: is this one trace?")
        last = event.time
        yield event


def _line(event: TraceEvent, places: MappedRegisters) -> RegisterAccess | OtherEvent | None:
    task = f"{event.task}-{event.pid}"
    access = parse_access(event)
    if access is None:
        return OtherEvent(event.time, event.cpu, task, event.name, event.text)
    offset = places.locate(access)
    if offset is not None:
        return RegisterAccess(event.time, event.cpu, task, access.write, offset, access.value, access.by, access.width)
    if places.by_driver(access):
        raise TraceError(f"{access.by} used a register at 0x{access.address:x}, which is none that is known of the GPU")
    return None
