# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard as Markdown: a pure function of what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bug_faults import Fault
from benchmarks.bug_records import CLEAN, Record, Result, State
from benchmarks.bug_rows import Bug, Control, Table

DEADLINE = 60.0
"""Seconds within which a bug is to be shown."""
TEXT = 110


@dataclass(frozen=True)
class Scores:
    """`states`: by row. `kernels`: title → key of the kernels without a bug, with the suites' names → digests, as they
    were when this was written. `deep`: rows are on kernels with the fragments they need."""

    table: Table
    states: Mapping[str, State]
    kernels: Mapping[str, str]
    suites: Mapping[str, str]
    records: Sequence[Record]
    date: str
    machine: str
    version: str
    arguments: Sequence[str] = ()


def markdown(scores: Scores) -> str:
    """`docs/scoreboard.md`."""
    lines = [*_head(scores), *_totals(scores), "", *_rows(scores), "", *_alarms(scores), "", *_unshown(scores.table)]
    return "\n".join(lines) + "\n"


def _head(scores: Scores) -> list[str]:
    kernels = "; ".join(f"{title} (`{key[:12]}`)" for title, key in scores.kernels.items())
    return [
        "# Scoreboard: real bugs, and which suites see them",
        "",
        "Each row is a bug of panthor that was fixed upstream. A patch of ours takes the fix out of a current kernel "
        "(`benchmarks/bugs/`), the suites run on it, and the row is *shown* if `panthorlab run` blames that kernel for "
        "something that it does not blame the kernel without the patch for. `benchmarks/bugs.py` makes this page; "
        "nothing here is written by hand.",
        "",
        f"- date: {scores.date}",
        f"- machine: {scores.machine}",
        f"- panthorlab: {scores.version}",
        f"- kernels without a bug: {kernels or 'none yet'}",
        f"- suites: {', '.join(scores.suites)}",
        *([f"- arguments: `{' '.join(scores.arguments)}`"] if scores.arguments else []),
        "",
    ]


def _totals(scores: Scores) -> list[str]:
    rows = scores.table.shown
    states = [scores.states.get(row.id, State(result=Result.OPEN)) for row in rows]
    shown = [state for state in states if state.result is Result.SHOWN]
    quick = sum(_host(state) <= DEADLINE for state in shown)
    count = {result: sum(state.result is result for state in states) for result in Result}
    share = f"{100 * len(shown) / len(rows):.0f} %" if rows else "—"
    return [
        "| fixes | can be shown | shown | within 60 s | not shown | lab errors | not all run |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {len(scores.table.bug)} | {len(rows)} | {len(shown)} ({share}) | {quick} | {count[Result.NOT_SHOWN]} | "
        f"{count[Result.ERROR]} | {count[Result.OPEN]} |",
    ]


def _host(state: State) -> float:
    record = state.by[0] if state.by else None
    return record.first.host if record and record.first else float("inf")


def _rows(scores: Scores) -> list[str]:
    lines = [
        "`iterations`: of workloads, up to the first fault; `guest` and `host`: seconds since the boot began.",
        "",
        "| bug | fix | since | shown | by | iterations | guest | host | first fault |",
        "|---|---|---|---|---|---:|---:|---:|---|",
    ]
    untold = State(result=Result.OPEN)
    return lines + [_row(bug, scores.states.get(bug.id, untold), scores.suites) for bug in scores.table.shown]


def _row(bug: Bug, state: State, suites: Mapping[str, str]) -> str:
    fix = f"{bug.title}{f' ({bug.cve})' if bug.cve else ''}"
    commits = f" {', '.join(f'`{commit}`' for commit in bug.upstream)}" if bug.upstream else ""
    by, iterations, guest, host, text = "", "", "", "", "; ".join(state.errors)
    if state.by:
        record, fault = state.by
        by, text = fault.by, fault.text
        if record.first:
            iterations, host = str(record.first.iterations), f"{record.first.host:.1f}"
            guest = "" if record.first.guest is None else f"{record.first.guest:.1f}"
    elif state.result is Result.OPEN:
        text = f"not run: {', '.join(state.missing)}" if 0 < len(state.missing) < len(suites) else "not run"
    elif state.limited:
        text = "the time limit was reached"
    needs = f" needs {', '.join(bug.needs)}" if bug.needs and not state.by else ""
    cells = [bug.id, fix + commits, bug.fixed_in, state.result + needs, by, iterations, guest, host, text]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    short = text if len(text) <= TEXT + 60 else f"{text[:TEXT]}…"
    return short.replace("|", "\\|").replace("\n", " ")


def _alarms(scores: Scores) -> list[str]:
    clean = [record for record in scores.records if record.row == CLEAN]
    lines = [
        "## False alarms",
        "",
        f"{len(clean)} runs of suites on kernels without a bug, {sum(record.seconds for record in clean) / 60:.0f} "
        "minutes together.",
    ]
    seen: dict[tuple[str, ...], list[Fault]] = {}
    for record in clean:
        for fault in record.faults:
            seen.setdefault(fault.key, []).append(fault)
    lines += [
        f"- {len(same)} × {same[0].by}: {_cell(same[0].text)} (does not count as showing a bug)"
        for same in seen.values()
    ]
    for control in scores.table.control:
        state = scores.states.get(control.id, State(result=Result.OPEN))
        told = {
            Result.SHOWN: f"**a false alarm**: {state.by[1].by}: {_cell(state.by[1].text)}" if state.by else "",
            Result.NOT_SHOWN: "clean, as it must be",
        }.get(state.result, state.result.value)
        lines.append(f"- control `{control.id}` ({control.does}): {told}")
    return [*lines, *(["- none on the kernels without a bug"] if not seen else [])]


def _unshown(table: Table) -> list[str]:
    rows = [bug for bug in table.bug if bug.unshown is not None]
    return [
        "## What no run can show",
        "",
        "| bug | fix | since | why |",
        "|---|---|---|---|",
        *(
            f"| {bug.id} | {_cell(bug.title)}{f' ({bug.cve})' if bug.cve else ''} | {bug.fixed_in} | {bug.unshown} |"
            for bug in rows
        ),
    ]


def summary(rows: Iterable[Bug | Control], states: Mapping[str, State]) -> str:
    """One line for the console."""
    done = [states[row.id] for row in rows if row.id in states and isinstance(row, Bug)]
    return ", ".join(f"{sum(state.result is result for state in done)} {result}" for result in Result)
