# SPDX-License-Identifier: GPL-2.0-or-later
"""Lays the notes of an instrumented kernel beside the trace of the emulated GPU, on one clock, around an MMU fault.

    benchmarks/timeline.py RUN/boots/BOOT [--fault N] [--before MS] [--after MS]
    benchmarks/timeline.py RUN/boots/BOOT --count

The kernel is one with `docs/findings/0020-instrument.patch`, the run one with `--param gpu.trace=on`. After each fault
that kernel reads TIMESTAMP of the GPU four times, between two readings of its own clock. The trace says when TIMESTAMP
was 0. So each reading bounds the difference of the two clocks by the time that it took; the narrowest is taken.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLOCK = re.compile(r";residual: clock (\d+) (\d+) (\d+)")
NOTE = re.compile(r";residual: (\d+) (\d+)/(.*) ([\w-]+) (\S+) (\S+)$")
ORIGIN = "TIMESTAMP is 0"
ROBBED = "its tick was taken away and queued again"


@dataclass(frozen=True)
class Note:
    """One of the kernel's own: `ns` of its clock, the task (name/pid), what, and two words that depend on it."""

    ns: int
    task: str
    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Row:
    """Something that happened, `at` in microseconds of the trace's clock."""

    at: float
    who: str
    what: str


@dataclass(frozen=True)
class Offset:
    """What is to be added to the kernel's clock to have the trace's, and how wrong that can be (both in us)."""

    us: float
    error: float


def offset(log: Iterable[str], origin: float, hz: int) -> Offset:
    """From the readings in the log; `origin` (us) is when TIMESTAMP was 0. Raises ValueError if there are none."""
    found = []
    for line in log:
        if match := CLOCK.search(line):
            before, ticks, after = map(int, match.groups())
            found.append(Offset(origin + ticks * 1e6 / hz - (before + after) / 2000, (after - before) / 2000))
    if not found:
        raise ValueError("no readings of TIMESTAMP in kmsg.log: is the kernel instrumented, and was there a fault?")
    return min(found, key=lambda candidate: candidate.error)


def notes(log: Iterable[str]) -> list[Note]:
    """What the kernel noted, in its order; each note once, though each fault prints the last ones again."""
    found = set()
    for line in log:
        if match := NOTE.search(line.rstrip("\n")):
            ns, pid, comm, what, first, second = match.groups()
            found.add(Note(int(ns), f"{comm}/{pid}", what, first, second))
    return sorted(found, key=lambda note: note.ns)


def gpu_rows(events: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """What the model traced, but for counters; `{` opens what `}` closes."""
    names: dict[int, str] = {}
    opened: dict[int, list[str]] = {}
    for event in events:
        if event.get("name") == "thread_name":
            names[event["tid"]] = event["args"]["name"]
        elif event["ph"] in ("B", "E", "i"):
            stack, name = opened.setdefault(event["tid"], []), event.get("name", "")
            if event["ph"] == "B":
                stack.append(name)
                name += " {"
            elif event["ph"] == "E":
                name = "} " + stack.pop()
            yield Row(event["ts"], f"GPU {names[event['tid']]}", name)


def timeline(log: Sequence[str], events: Sequence[Mapping[str, Any]]) -> tuple[list[Row], Offset]:
    """Both in one order. Raises ValueError if the clocks cannot be compared."""
    start = next((event["args"] for event in events if event.get("name") == ORIGIN), None)
    if start is None:
        raise ValueError("the trace does not say when TIMESTAMP was 0")
    clock = offset(log, start["us"], start["hz"])
    rows = [Row(n.ns / 1000 + clock.us, n.task, f"{n.what} {n.first} {n.second}") for n in notes(log)]
    return sorted([*rows, *gpu_rows(events)], key=lambda row: row.at), clock


@dataclass
class Flush:
    """One flush_work() of the tick, as far as it went."""

    fate: str = "nothing was queued"
    waits: bool = False  # behind a tick that is queued and has not started


def flushes(found: Iterable[Note]) -> tuple[Counter[tuple[str, bool]], Counter[str]]:
    """What became of the flush before each VM's end, and whether a group of the VM was on a slot when it was unmapped;
    and who queued the tick anew. Only flushes whose beginning was noted."""
    flying: dict[str, Flush] = {}
    ends: Counter[tuple[str, bool]] = Counter()
    thieves: Counter[str] = Counter()
    stolen = False
    for note in found:
        if note.what == "flush-begins":
            flying[note.task] = Flush()
        elif note.what.startswith("barrier-behind-") and note.task in flying:
            flying[note.task] = Flush(f"behind a {note.what.split('-')[2]} tick", "queued" in note.what)
        elif note.what == "TICK-TAKEN-FROM-BEFORE-ITS-BARRIER":
            stolen = True
            for flush in flying.values():
                if flush.waits:
                    flush.fate, flush.waits = ROBBED, False
        elif note.what == "tick-queued-by":
            thieves[note.first] += stolen
            stolen = False
        elif note.what == "tick-starts":
            for flush in flying.values():
                flush.waits = False
        elif note.what == "unmaps-begin" and note.task in flying:
            ends[flying.pop(note.task).fate, int(note.first, 16) > 0] += 1
    return ends, +thieves


def show_count(log: Sequence[str]) -> None:
    ends, thieves = flushes(notes(log))
    print("VMs   the flush                                   a group is on a slot as the VM is unmapped")
    for (fate, on_slot), count in sorted(ends.items()):
        print(f"{count:4}  {fate:42}  {'yes' if on_slot else 'no'}")
    print("taken away and queued again by " + ", ".join(f"{who} ({count})" for who, count in thieves.most_common()))


def show_fault(rows: Sequence[Row], clock: Offset, options: argparse.Namespace) -> None:
    faults = [row.at for row in rows if row.what.startswith("FAULT AS")]
    if not 1 <= options.fault <= len(faults):
        raise ValueError(f"there are {len(faults)} faults")
    zero = faults[options.fault - 1]
    print(f"# ms from fault {options.fault} of {len(faults)}; the clocks agree to +-{clock.error:.0f} us")
    for row in rows:
        if -options.before * 1000 <= row.at - zero <= options.after * 1000:
            print(f"{(row.at - zero) / 1000:9.3f}  {row.who:22}  {row.what}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("boot", type=Path, help="directory of a boot")
    parser.add_argument("--count", action="store_true", help="instead of a timeline: what became of all flushes")
    parser.add_argument("--fault", type=int, default=1, help="which fault, counted from 1 (default: 1)")
    parser.add_argument("--before", type=float, default=10, help="milliseconds before it (default: 10)")
    parser.add_argument("--after", type=float, default=1, help="milliseconds after it (default: 1)")
    options = parser.parse_args()
    try:
        with (options.boot / "kmsg.log").open(errors="replace") as file:
            log = [line for line in file if ";residual: " in line]
        if options.count:
            show_count(log)
        else:
            with (options.boot / "gpu-trace.json").open() as file:
                show_fault(*timeline(log, json.load(file)), options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
