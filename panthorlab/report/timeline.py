# SPDX-License-Identifier: GPL-2.0-or-later
"""One fault drawn from the GPU model's trace: what the slots, the address space and the firmware did around it, on one
clock. Pure functions over the lines of a trace.

A trace is Chrome's JSON, one event a line (`gpu/trace.py`). It shows what the GPU saw of the driver: requests, locks,
unmaps, interrupts. What the driver itself did, its tick for one, is in the calls that `replay --trace-functions` writes
down (`run/drivercalls.py`), in exact time on the same clock.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_FAULT: Final = re.compile(r"FAULT AS(?P<space>\d+) (?P<va>0x[0-9a-f]+)", re.ASCII)
_TRACK: Final = re.compile(r"(?:AS \d+|CSG \d+(?:\.\d+)?|IRQ (?:mmu|job|gpu)|MCU|GPU)", re.ASCII)
_KEPT: Final = 5000
"""Events before the fault that can be in the picture."""
_AFTER: Final = 5_000.0
_BEFORE: Final = 20_000.0
"""Microseconds shown after a fault, and before it if nothing tells where it began."""
_MOST: Final = 200_000.0
_MOST_MOMENTS: Final = 18
_MOST_SPANS: Final = 300
_LATEST: Final = 1e15
"""Microseconds of any clock: 30 years."""
WIDTH: Final = 900
LEFT: Final = 70
_STOPPING: Final = ("TERMINATE", "SUSPEND")
DRIVER: Final = "driver"
_CALL: Final = re.compile(r" *\d+ (?P<seconds>\d+\.\d+) #\d+ +(?P<name>[A-Za-z_]\w*)", re.ASCII)
_TELLING: Final = frozenset({"tick_work", "panthor_group_destroy", "panthor_vm_destroy", "panthor_heap_pool_destroy"})
"""Functions of the driver that begin what ends in a fault."""


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """Microseconds of the trace's clock."""

    track: str
    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Moment:
    """`number`: in the picture; 0 if it is in the list alone. `at`: microseconds after the fault (before: negative)."""

    number: int
    at: float
    x: float
    track: str
    text: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A span in a lane, `kind` a word for the style: `on`, `lock`, `stop`, `write`, `run`, `irq`."""

    x: float
    width: float
    kind: str
    text: str


@dataclass(frozen=True)
class TrackLane:
    """One track: its bars, and the moments on it."""

    name: str
    bars: tuple[Bar, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Timeline:
    """`title`: the fault. `span`: microseconds from the left to the right edge; `ticks`: (x, label)."""

    title: str
    lanes: tuple[TrackLane, ...]
    moments: tuple[Moment, ...]
    span: float
    ticks: tuple[tuple[float, str], ...]


@dataclass
class _Seen:
    """What is known of the trace up to a fault, and shortly after it."""

    spans: deque[TraceSpan]
    marks: deque[TraceSpan]
    calls: tuple[TraceSpan, ...] = ()
    fault: TraceSpan | None = None


def timeline(lines: Iterable[str], va: str | None = None, calls: Iterable[str] = ()) -> Timeline | None:
    """The first fault at `va` (hex), else None; without `va` the first of all. What is no trace gives None. `calls`:
    lines of the driver's calls; then the first fault after these began."""
    wanted = None if va is None else int(va, 16)
    seen = _read(lines, wanted, tuple(_calls(calls)))
    return _draw(seen, seen.fault) if seen.fault is not None else None


def _calls(lines: Iterable[str]) -> Iterator[TraceSpan]:
    for line in lines:
        if match := _CALL.match(line):
            at = float(match["seconds"]) * 1e6
            if at < _LATEST:
                yield TraceSpan(DRIVER, match["name"], at, at)


def _read(lines: Iterable[str], wanted: int | None, calls: tuple[TraceSpan, ...]) -> _Seen:
    seen = _Seen(deque(maxlen=_KEPT), deque(maxlen=_KEPT), calls)
    earliest = calls[0].begin if calls else -_LATEST
    tracks: dict[object, str] = {}
    stacks: dict[str, list[TraceSpan]] = {}
    last = 0.0
    for event in _events(lines):
        phase, name, at = event.get("ph"), event.get("name"), event.get("ts")
        if phase == "M" and name == "thread_name":
            args = event.get("args")
            track_name = args.get("name") if isinstance(args, Mapping) else None
            if isinstance(track_name, str) and _TRACK.fullmatch(track_name):
                tracks[event.get("tid")] = track_name
            continue
        track = tracks.get(event.get("tid"))
        if track is None or not isinstance(at, int | float) or not abs(at) < _LATEST:  # NaN is not, either
            continue
        last = float(at)
        if seen.fault is not None and last > seen.fault.begin + _AFTER:
            break
        if phase == "B":
            stacks.setdefault(track, []).append(TraceSpan(track, str(name), last, last))
        elif phase == "E" and stacks.get(track):
            begun = stacks[track].pop()
            seen.spans.append(TraceSpan(track, begun.name, begun.begin, last))
        elif phase == "i":
            mark = TraceSpan(track, str(name), last, last)
            seen.marks.append(mark)
            match = _FAULT.match(mark.name)
            if seen.fault is None and match and wanted in (None, int(match["va"], 16)) and last >= earliest:
                seen.fault = mark
    for stack in stacks.values():
        seen.spans.extend(TraceSpan(one.track, one.name, one.begin, last) for one in stack)
    return seen


def _events(lines: Iterable[str]) -> Iterator[Mapping[str, object]]:
    """Up to the first line that is none: `kill -9` tears the last one."""
    for line in lines:
        text = line.strip().rstrip(",")
        if text in ("[", "]", ""):
            continue
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        yield event


def _draw(seen: _Seen, fault: TraceSpan) -> Timeline:
    match = _FAULT.match(fault.name)
    assert match is not None  # noqa: S101 - it is one
    space, va = f"AS {match['space']}", match["va"]
    slots = {one.track for one in seen.marks if f"heap context {va}:" in one.name and one.begin >= fault.begin - _AFTER}
    near = [one for one in seen.spans if one.track in slots and one.begin <= fault.begin <= one.end + _AFTER]
    unmapped = [one for one in seen.marks if one.name == f"{va} unmapped" and one.begin <= fault.begin]
    begins = [one.begin for one in near if one.name.startswith((*_STOPPING, "write-out"))]
    begins += [one.begin for one in unmapped[-1:]]
    calls = [one for one in seen.calls if fault.begin - _BEFORE < one.begin <= fault.begin + _AFTER]
    last = {one.name: one.begin for one in calls if one.name in _TELLING and one.begin <= fault.begin}
    begins += last.values()
    begin = max(min(begins, default=fault.begin - _BEFORE), fault.begin - _MOST)
    end = min(max([fault.begin, *(one.end for one in near if one.end < fault.begin + _AFTER)]), fault.begin + _AFTER)
    margin = max((end - begin) * 0.08, 50.0)
    begin, end = begin - margin, end + margin
    scale = (WIDTH - LEFT - 10) / (end - begin)

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, begin), end) - begin) * scale, 1)

    seen.marks.extend(calls)
    shown = {DRIVER, space, "IRQ mmu", *slots}
    marks = [one for one in seen.marks if one.track in shown and begin <= one.begin <= end]
    marks += [
        TraceSpan(one.track, _beginning(one.name), one.begin, one.begin)
        for one in seen.spans
        if one.track in shown and begin <= one.begin <= end and not one.name.startswith("LOCK")
    ]
    marks.sort(key=lambda one: one.begin)
    important = [one for one in marks if _tells(one, va, fault)]
    left, right = important[: _MOST_MOMENTS // 2], important[_MOST_MOMENTS // 2 :][-_MOST_MOMENTS // 2 :]
    moments = [
        Moment(number, one.begin - fault.begin, x(one.begin), one.track, one.name, one == fault)
        for number, one in enumerate([*left, *right], 1)
    ]
    lanes = [
        TrackLane(
            name,
            tuple(
                Bar(x(one.begin), max(1.0, round(x(one.end) - x(one.begin), 1)), _kind(one), one.name)
                for one in sorted((*seen.spans, *calls), key=lambda one: one.begin)
                if one.track == name and one.end >= begin and one.begin <= end
            )[:_MOST_SPANS],
            tuple(moment for moment in moments if moment.track == name),
        )
        for name in (*([DRIVER] if calls else []), *sorted(slots), space, "IRQ mmu")
    ]
    return Timeline(
        fault.name, tuple(lanes), tuple(moments), end - begin, _ticks(begin, end, fault.begin, x(begin), scale)
    )


def _beginning(name: str) -> str:
    return "interrupt" if name == "pending" else f"{name} begins"


def _tells(one: TraceSpan, va: str, fault: TraceSpan) -> bool:
    """Whether it is of the fault's story: its address, a request to the slot, the write-out, the interrupt, and what
    the driver did before it."""
    if one.track == DRIVER:
        return one.name in _TELLING and one.begin <= fault.begin
    words = (va, "write-out", "interrupt", "enabled", *_STOPPING)
    return any(word in one.name for word in words) and "mapped" not in one.name.replace("unmapped", "")


def _kind(span: TraceSpan) -> str:
    if span.track == DRIVER:
        return "lock"
    kinds = {"enabled": "on", "LOCK": "lock", "write-out": "write", "pending": "irq"}
    own = next((kind for word, kind in kinds.items() if span.name.startswith(word)), "run")
    return "stop" if span.name.startswith(_STOPPING) else own


def _ticks(begin: float, end: float, zero: float, left: float, scale: float) -> tuple[tuple[float, str], ...]:
    """About eight, at round distances from the fault."""
    step = 1.0
    while (end - begin) / step > 8:
        step *= 2 if str(step)[0] in "15" else 2.5
    first = int((begin - zero) // step) + 1
    found = []
    for number in range(first, int((end - zero) // step) + 1):
        at = number * step
        label = f"{at / 1000:g} ms" if step >= 100 else f"{at:g} µs"
        found.append((round(left + (at + zero - begin) * scale, 1), label))
    return tuple(found)
