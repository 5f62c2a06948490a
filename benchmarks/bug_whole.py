# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole default runs of kernels without a bug, for the scoreboard: how long they were, what they blamed the kernel for,
and how much of the driver they executed. A pure function of what `panthorlab run --kernel KEY` has recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bug_faults import judge
from benchmarks.bug_published import Alarm, Whole
from panthorlab.errors import UsageError
from panthorlab.run.record import ArmKernel, CoverageEvent, Event, Iteration, RunEnd, RunStart, Tested
from panthorlab.run.record.log import read_events

HINT = (
    "name the directory of a `panthorlab run --kernel KEY` that has ended, with all suites, of a kernel without patches"
)


def read_whole(directories: Iterable[Path]) -> dict[str, Whole]:
    """By the start of the run, its kernel and its seed. Raises UsageError for what is no such run, as for one whose lab
    failed: that says nothing of the kernel."""
    return dict(_whole(directory, read_events(directory)) for directory in directories)


def _whole(directory: Path, events: Sequence[Event]) -> tuple[str, Whole]:
    starts = [event for event in events if isinstance(event, RunStart)]
    kernels = [event for event in events if isinstance(event, ArmKernel)]
    ran = next((event for event in events if isinstance(event, CoverageEvent)), None)
    if not starts or len(kernels) != 1 or not isinstance(events[-1], RunEnd) or _part(starts[0]):
        raise UsageError(f"{directory}: not a whole run of the suites on one kernel", hint=HINT)
    if kernels[0].patches:
        raise UsageError(f"{directory}: its kernel has patches", hint=HINT)
    judged = judge(events, whole=True)
    if judged.status not in (0, 1):
        raise UsageError(f"{directory}: the lab failed: {'; '.join(judged.errors)}", hint=HINT)
    alarms = Counter((fault.by, fault.text) for fault in judged.faults)
    begun = datetime.fromtimestamp(starts[0].time, UTC)
    name = f"{begun:%Y-%m-%dT%H:%M:%SZ} {kernels[0].key[:12]} {starts[0].options.seed}"
    return name, Whole(
        kernel=kernels[0].title,
        date=f"{begun:%Y-%m-%d}",
        tests=sum(isinstance(event, Tested) for event in events),
        iterations=sum(isinstance(event, Iteration) for event in events),
        seconds=round(events[-1].time - starts[0].time, 1),
        functions=(ran.functions, ran.function_total) if ran else None,
        lines=(ran.lines, ran.line_total) if ran else None,
        alarms=tuple(Alarm(by=by, text=text, times=times) for (by, text), times in alarms.items()),
    )


def _part(start: RunStart) -> bool:
    return bool(start.command or start.options.suite or start.options.workload)


def by_kernel(runs: Mapping[str, Whole]) -> dict[str, list[Whole]]:
    """Title of the kernel → its runs, oldest first."""
    kernels: dict[str, list[Whole]] = {}
    for _, run in sorted(runs.items()):
        kernels.setdefault(run.kernel, []).append(run)
    return dict(sorted(kernels.items()))
