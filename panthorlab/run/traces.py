# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU model's traces of a run, of which a fault's timeline is drawn; and the page with nothing but that."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from panthorlab.files import write_whole
from panthorlab.report import html
from panthorlab.report.faults import FindingFields
from panthorlab.report.timeline import Timeline, timeline
from panthorlab.run import results
from panthorlab.run.record import Event

TRACE: Final = "gpu-trace.json"
CALLS_LOG: Final = "driver-calls.log"
"""The driver's calls in one iteration, as a replay writes them down."""
PAGE: Final = "timeline.html"
_LARGEST: Final = 1 << 30
_MOST_BOOTS: Final = 20
"""Traces that are looked through for one of the run's faults."""


def timeline_of(run_dir: Path, findings: Iterable[FindingFields]) -> Timeline | None:
    """Of the first of `findings` (of several, the first that is told best) whose boot has a trace with it."""
    wanted: dict[str, str] = {}
    for finding in findings:
        boot, va = finding.get("boot"), finding.get("va")
        if isinstance(boot, str) and isinstance(va, str) and finding.get("kind") == "mmu-fault":
            wanted.setdefault(boot, va)
    for boot, va in list(wanted.items())[:_MOST_BOOTS]:
        with _opened(run_dir, boot, TRACE) as lines, _opened(run_dir, boot, CALLS_LOG) as calls:
            if lines is not None and (found := _drawn(lines, va, calls)):
                return found
    return None


def _drawn(lines: TextIO, va: str, calls: TextIO | None) -> Timeline | None:
    try:
        return timeline(lines, va, calls or ())
    except ValueError:  # an address that is none
        return None


@contextmanager
def _opened(run_dir: Path, boot: str, name: str) -> Iterator[TextIO | None]:
    """None if that boot has none, or none that is a plain file."""
    path = run_dir / "boots" / boot / name
    if boot in ("", ".", "..") or "/" in boot or "\0" in boot:
        yield None
        return
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    with open(handle, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a descriptor
        status = os.fstat(handle)
        yield lines if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST else None


def write_page(run_dir: Path, events: Sequence[Event]) -> Path | None:
    """`timeline.html` in the run's directory, if there is a trace with one of its faults. Raises OSError."""
    found = timeline_of(run_dir, results.findings(events))
    if found is None:
        return None
    write_whole(run_dir / PAGE, html.render_timeline(found, run_dir))
    return run_dir / PAGE
