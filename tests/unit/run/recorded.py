# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as the logs of version 1 have them, written down in tests by what matters there; and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from panthorlab.report.model import RunReport
from panthorlab.run import reports, results
from panthorlab.run import summary as of_one
from panthorlab.run.record import Event
from panthorlab.run.record.versions import events_of
from panthorlab.verdict import Extension, RunVerdict
from panthorlab.verdict.model import Plan

Told: TypeAlias = Mapping[str, Any] | Event
_KERNEL = {"release": "6.12", "title": "x", "fragments": []}
_BOOT = {"boot": "", "side": "after"}
WITHOUT: dict[str, dict[str, Any]] = {
    "run-start": {"suites": [], "command": [], "directory": "/"},
    "kernel": _KERNEL, "variant-kernel": _KERNEL,
    "boot-start": {**_BOOT, "slot": ""},
    "boot-end": {**_BOOT, "slot": "", "complete": True, "outcome": "PASS", "blame": None},
    "board": _BOOT, "quota": _BOOT, "stray": _BOOT, "log-gap": _BOOT,
    "iteration": {
        **_BOOT, "id": "i", "workload": "w", "role": "claim", "outcome": "PASS", "blame": None, "terminations": 1,
        "faulty": 0, "kinds": [], "signatures": [], "declared": ["mmu-fault"], "program_failed": False, "message": "",
        "findings": [],
    },
    "test": {**_BOOT, "outcome": "PASS", "blame": None, "message": "", "seconds": 0.1},
    "moved": {"board": ""}, "extension": {"why": []}, "again": {"why": []},
}  # fmt: skip
"""What events are given that do not say it."""


def typed(events: Iterable[Told]) -> list[Event]:
    """As they are read from a log."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, Event):
            found.append(event)
            continue
        whole = {"time": 0.0, **WITHOUT.get(event["event"], {}), **event}
        if "expect" in whole.get("options", {}):
            whole["options"] = {"boots": 2, "board": "b", "seed": 1, **whole["options"]}
        found += [one for _, one in events_of([whole])]
    return found


def judge(events: Iterable[Told]) -> RunVerdict:
    return reports.judge(typed(events))


def plan(events: Iterable[Told]) -> Plan:
    return results.plan(typed(events))


def extension_of(events: Iterable[Told]) -> Extension:
    return reports.extension_of(typed(events))


def doubts_of(events: Iterable[Told]) -> Mapping[str, Sequence[str]]:
    return reports.doubts_of(typed(events))


def report(run_dir: Path, events: Iterable[Told], verdict: RunVerdict) -> RunReport:
    return results.report(run_dir, typed(events), verdict)


def summary(run_dir: Path, events: Iterable[Told], *, as_json: bool) -> int:
    return of_one.summary(run_dir, typed(events), as_json=as_json)
