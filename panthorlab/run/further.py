# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run does beyond its plan: decided once, from what its events say, and put on record before it begins."""

from __future__ import annotations

from pathlib import Path

from panthorlab.outcome import Side
from panthorlab.run import reports
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import Again, ExtensionEvent
from panthorlab.run.record.log import EventLog, read_events


def extend(run_dir: Path, log: EventLog, progress: ProgressDisplay) -> None:
    """What *before* must run to say whether it has what is new on *after*."""
    events = read_events(run_dir)
    if any(isinstance(event, ExtensionEvent) for event in events):
        return
    if more := reports.extension_of(events):
        log.append(ExtensionEvent(arm=Side.BEFORE, iterations=more.iterations, boots=more.boots, why=more.why))
        _tell(progress, more.why)


def doubt(run_dir: Path, log: EventLog, progress: ProgressDisplay) -> None:
    """Which tests more boots of both sides are to decide."""
    events = read_events(run_dir)
    if any(isinstance(event, Again) for event in events):
        return
    if doubts := reports.doubts_of(events):
        why = tuple(
            f"{test}{f' [{variant}]' if variant else ''}: fails on after, but not in enough boots; it runs in more "
            "of both sides"
            for variant, tests in doubts.items()
            for test in tests
        )
        log.append(Again(tests=doubts, why=why))
        _tell(progress, why)


def _tell(progress: ProgressDisplay, why: tuple[str, ...]) -> None:
    for line in why:
        progress.line(f"more   {line}")
