# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's trace as text (tracefs, file `trace`): events, and the accesses to registers among them.

Source: `trace_output.c`, `include/trace/events/rwmmio.h` (Linux 6.12, 7.3). Of each access the kernel traces the value
that was read and the value that is to be written, with the virtual address: the time of a read is right after it, that
of a write right before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

READ: Final = "rwmmio_post_read"
WRITE: Final = "rwmmio_write"
_LINE: Final = re.compile(
    r"\s*(?P<task>.{1,32}?)-(?P<pid>\d{1,10})\s+(?:\(\s*[-\d]+\)\s+)?\[(?P<cpu>\d{1,5})\]\s+(?:\S{4,8}\s+)?"
    r"(?P<seconds>\d{1,12})\.(?P<micro>\d{6}):\s(?P<name>\w{1,64}):\s?(?P<text>.*)"
)
_LOST: Final = re.compile(r"CPU:\d+ \[LOST (?P<count>\d{1,18}) EVENTS\]")
_ACCESS: Final = re.compile(
    r"(?:(?P<outer>\S+(?: \[\w+\])?) -> )?(?P<by>\S+?)(?:/0x[0-9a-f]+)?(?: \[\w+\])? "
    r"width=(?P<width>\d{1,3}) val=(?P<value>(?:0x)?[0-9a-f]{1,16}) addr=(?P<address>0x[0-9a-f]{1,16})"
)


class TraceError(ValueError):
    """A line that is an access to a register and cannot be understood."""


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event. `time`: microseconds of the trace's clock. `text`: what the event itself says."""

    time: int
    cpu: int
    task: str
    pid: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class LostEvents:
    """So many events (0: nobody counted them) are missing here."""

    count: int


@dataclass(frozen=True, slots=True)
class TracedAccess:
    """What an access says: `address` is virtual, `width` in bits, `by` the function, with the offset in it."""

    write: bool
    address: int
    width: int
    value: int
    by: str


def parse_trace(lines: Iterable[str]) -> Iterator[TraceEvent | LostEvents]:
    """The events of a trace, in its order. Lines that are none (comments; the rest of a task's name with a line
    feed in it) are skipped, for no access can hide in them: an access begins and ends on one line."""
    for line in lines:
        if line.startswith("#"):
            continue
        if found := _LINE.match(line):
            yield TraceEvent(
                int(found["seconds"]) * 1_000_000 + int(found["micro"]),
                int(found["cpu"]),
                found["task"].strip(),
                int(found["pid"]),
                found["name"],
                found["text"].rstrip("\n"),
            )
        elif lost := _LOST.match(line):
            yield LostEvents(int(lost["count"]))
        elif f" {READ}: " in line or f" {WRITE}: " in line:
            raise TraceError(f"not a line of a trace: {line.rstrip()[:200]!r}")


def parse_access(event: TraceEvent) -> TracedAccess | None:
    """The access that `event` is; None if it is something else. Raises TraceError."""
    if event.name not in (READ, WRITE):
        return None
    found = _ACCESS.fullmatch(event.text)
    if found is None:
        raise TraceError(f"not an access to a register: {event.name}: {event.text[:200]!r}")
    access = TracedAccess(
        event.name == WRITE, int(found["address"], 16), int(found["width"]), int(found["value"], 16), found["by"]
    )
    if access.width not in (8, 16, 32, 64) or access.value >> access.width:
        raise TraceError(f"no such access: {event.text[:200]!r}")
    return access
