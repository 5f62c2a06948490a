# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdict and reports of a run, made from its events alone: run again, they say the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from panthorlab.outcome import Side
from panthorlab.report import console, html, json_report, junit, kcidb
from panthorlab.run import results
from panthorlab.verdict import Extension, RunVerdict, Verdict, build_failed, compare, extension


def judge(events: Sequence[Mapping[str, Any]]) -> RunVerdict:
    """The verdict of a run as far as its events go."""
    plan, kernels = results.plan(events), results.kernel_refs(events)
    failed = [event for event in events if event["event"] == "build-failed"]
    if failed:
        return build_failed(Side.AFTER, failed[-1]["message"], plan, kernels)
    verdict = compare(
        iterations=results.iterations(events),
        boots=results.boots(events),
        tests=results.tests(events),
        plan=plan,
        kernels=kernels,
    )
    unfinished = results.unfinished(events)
    return replace(verdict, exit=unfinished[1]) if unfinished else verdict


def extension_of(events: Sequence[Mapping[str, Any]]) -> Extension:
    """What *before* is still to run beyond its plan, if these are all events of the plan; nothing if the run is
    decided, or if what it has is not sound."""
    ended = [*events, {"event": "run-end"}]
    if judge(ended).verdict in (Verdict.ERROR, Verdict.REGRESSED):
        return Extension()
    return extension(results.iterations(events), results.boots(events), results.plan(ended))


def write(run_dir: Path, events: Sequence[Mapping[str, Any]], verdict: RunVerdict, *, as_json: bool) -> None:
    """Write `result.json`, `junit.xml` and `report.html` beside the log, and the summary (or the JSON) to stdout."""
    report = results.report(run_dir, events, verdict)
    text = json_report.render(report)
    _replace(run_dir / "result.json", text)
    _replace(run_dir / "junit.xml", junit.render(report))
    _replace(run_dir / "report.html", html.render(report))
    if as_json:
        print(text)
    else:
        columns = console.columns_of(sys.stdout)
        print(console.render(report, colour=console.use_colour(sys.stdout), columns=columns))


def kcidb_of(run_dir: Path, events: Sequence[Mapping[str, Any]], verdict: RunVerdict) -> str:
    """The run in KCIDB's I/O schema. Nothing is submitted."""
    return kcidb.render(results.report(run_dir, events, verdict))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
