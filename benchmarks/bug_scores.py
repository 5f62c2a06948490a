# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard as Markdown: a pure function of what is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.bug_published import Published, Row, Whole, changed, changed_patches
from benchmarks.bug_records import Result, State
from benchmarks.bug_rows import Bug, Control, Table
from benchmarks.bug_rows import Row as AnyRow
from benchmarks.bug_whole import by_kernel

DEADLINE = 60.0
"""Seconds within which a bug is to be shown."""
TEXT = 110


@dataclass(frozen=True)
class Scores:
    """`published`: what is said of each row. `kernels`: title → key of the kernels without a bug, as they are now;
    `suites`: name → digest of the suites, as they are now; `patches`: id → digest of the patches."""

    table: Table
    published: Published
    kernels: Mapping[str, str]
    suites: Mapping[str, str]
    date: str
    machine: str
    patches: Mapping[str, str] = field(default_factory=dict)

    def of(self, row: Bug | Control) -> Row | None:
        if row.id not in self.published.rows and row.id in self.published.unbuilt:
            return Row(result=Result.ERROR, text=self.published.unbuilt[row.id], panthorlab="", date="")
        return self.published.rows.get(row.id)


def markdown(scores: Scores) -> str:
    """`docs/scoreboard.md`."""
    whole = by_kernel(scores.published.whole)
    lines = [
        *_head(scores), *_totals(scores, whole), "", *_rows(scores), "", *_whole(whole), *_alarms(scores), "",
        *_unshown(scores.table),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _head(scores: Scores) -> list[str]:
    kernels = "; ".join(f"{title} (`{key[:12]}`)" for title, key in scores.kernels.items())
    return [
        "# Scoreboard: real bugs, and which suites see them",
        "",
        "Each row is a bug of panthor that was fixed upstream. A patch of ours takes the fix out of a current kernel "
        "(`benchmarks/bugs/`), the suites run on it, and the row is *shown* if `panthorlab run` blames that kernel for "
        "something that it does not blame the kernel without the patch for. `benchmarks/bugs.py` makes this page, and "
        "keeps what it says in `scoreboard.json` beside it; nothing here is written by hand.",
        "",
        f"- last renewed: {scores.date}",
        f"- machine then: {scores.machine}",
        *([f"- kernels without a bug then: {kernels}"] if kernels else []),
        "",
        *_since(scores),
    ]


def _since(scores: Scores) -> list[str]:
    """Where what is said is older than what is here."""
    ids = {bug.id for bug in scores.table.shown}
    rows = {name: row for name, row in scores.published.rows.items() if name in ids}
    by: dict[str, int] = {}
    for row in rows.values():
        by[row.panthorlab] = by.get(row.panthorlab, 0) + 1
    told = ", ".join(f"{count} with `{commit}`" for commit, count in sorted(by.items(), key=lambda each: -each[1]))
    old = "; ".join(f"{suite} ({_numbers(names)})" for suite, names in changed(rows, scores.suites).items())
    since = (
        f"Suites that are not what they were when they showed a row (in brackets), which was not run again: {old}."
        if old
        else "No suite has changed since it showed a row."
    )
    patches = changed_patches(rows, scores.patches)
    told_of = [
        f"Rows were run {told or 'never'}.",
        since,
        *(
            [f"Rows whose patch is not what it was then, which were not run again: {_numbers(patches)}."]
            if patches
            else []
        ),
        *_unbuilt(scores.published.unbuilt, ids),
    ]
    return [f"**Since then.** {' '.join(told_of)}", "", *_note(scores.table)]


def _unbuilt(unbuilt: Mapping[str, str], ids: Collection[str]) -> list[str]:
    """What is said of these rows is not of the kernel as it is now."""
    told = "; ".join(f"{_numbers([name])} ({_cell(why)})" for name, why in sorted(unbuilt.items()) if name in ids)
    return [f"Rows whose kernel could not be built when they were last asked for: {told}."] if told else []


def _numbers(names: Iterable[str]) -> str:
    return ", ".join(name.partition("-")[0] for name in names)


def _note(table: Table) -> list[str]:
    return [table.note.strip(), ""] if table.note else []


def _totals(scores: Scores, whole: Mapping[str, Sequence[Whole]]) -> list[str]:
    rows = scores.table.shown
    known = [scores.of(bug) for bug in rows]
    count = {result: sum((row.result if row else Result.OPEN) is result for row in known) for result in Result}
    quick = sum(row is not None and row.result is Result.SHOWN and _in_time(row) for row in known)
    share = f"{100 * count[Result.SHOWN] / len(rows):.0f} %" if rows else "—"
    return [
        "| fixes | the driver's lines that default suites execute | can be shown | shown | within 60 s | not shown | "
        "lab errors | not all run |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
        f"| {len(scores.table.bug)} | {_executed(whole)} | {len(rows)} | {count[Result.SHOWN]} ({share}) | {quick} | "
        f"{count[Result.NOT_SHOWN]} | {count[Result.ERROR]} | {count[Result.OPEN]} |",
    ]


def _executed(whole: Mapping[str, Sequence[Whole]]) -> str:
    last = {kernel: [run.lines for run in runs if run.lines][-1:] for kernel, runs in whole.items()}
    return "; ".join(f"{kernel}: {_share(*lines[0])}" for kernel, lines in last.items() if lines) or "not measured"


def _share(some: int, all_: int) -> str:
    return f"{some} of {all_} ({100 * some / all_:.0f} %)" if all_ else "none"


def _whole(whole: Mapping[str, Sequence[Whole]]) -> list[str]:
    if not whole:
        return []
    lines = [
        "## Whole runs on kernels without a bug",
        "",
        "Each with all default suites and a seed of its own. What of the driver was executed is as the last of them "
        "measured it.",
        "",
        "| kernel | runs | minutes | tests | iterations | blamed for | functions executed | lines executed | when |",
        "|---|---:|---:|---:|---:|---|---:|---:|---|",
    ]
    for kernel, runs in whole.items():
        alarms = [f"{alarm.times} × {alarm.by}: {alarm.text}" for run in runs for alarm in run.alarms]
        functions = [run.functions for run in runs if run.functions][-1:]
        executed = [run.lines for run in runs if run.lines][-1:]
        cells = [kernel, str(len(runs)), f"{sum(run.seconds for run in runs) / 60:.1f}",
                 str(sum(run.tests for run in runs)), str(sum(run.iterations for run in runs)),
                 "; ".join(alarms) or "nothing", *(_share(*each[0]) if each else "" for each in (functions, executed)),
                 f"{runs[0].date} to {runs[-1].date}"]  # fmt: skip
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return [*lines, ""]


def _in_time(row: Row) -> bool:
    return row.host is not None and row.host <= DEADLINE


def _rows(scores: Scores) -> list[str]:
    lines = [
        "`iterations`: of workloads, up to the first fault; `guest` and `host`: seconds since the boot began; "
        "`panthorlab`: the commit that ran the row.",
        "",
        "| bug | fix | since | shown | by | iterations | guest | host | first fault | panthorlab |",
        "|---|---|---|---|---|---:|---:|---:|---|---|",
    ]
    return lines + [_line(bug, scores.of(bug)) for bug in scores.table.shown]


def _line(bug: Bug, row: Row | None) -> str:
    fix = f"{bug.title}{f' ({bug.cve})' if bug.cve else ''}"
    commits = f" {', '.join(f'`{commit}`' for commit in bug.upstream)}" if bug.upstream else ""
    row = row or Row(result=Result.OPEN, text="not run", panthorlab="", date="")
    lacked = [name for name in bug.needs if name not in row.fragments]
    needs = f" needs {', '.join(lacked)}" if lacked and not row.by else ""
    text = row.text or (f"with {', '.join(row.suites)}" if row.result is Result.NOT_SHOWN else "")
    cells = [bug.id, fix + commits, bug.fixed_in, row.result + needs, row.by,
             "" if row.iterations is None else str(row.iterations), _seconds(row.guest), _seconds(row.host), text,
             _origin(row)]  # fmt: skip
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _origin(row: Row) -> str:
    arguments = f" `{' '.join(row.arguments)}`" if row.arguments else ""
    return f"{row.panthorlab}{arguments}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _cell(text: str) -> str:
    short = text if len(text) <= TEXT + 60 else f"{text[:TEXT]}…"
    return short.replace("|", "\\|").replace("\n", " ")


def _alarms(scores: Scores) -> list[str]:
    lines = ["## False alarms", ""]
    for commit, quiet in scores.published.clean.items():
        lines += [
            f"- `{commit}`: {quiet.runs} runs of suites on kernels without a bug, {quiet.seconds / 60:.0f} minutes "
            f"together: {'' if quiet.alarms else 'none'}".rstrip(),
            *(
                f"  - {alarm.times} × {alarm.by}: {_cell(alarm.text)} (does not count as showing a bug)"
                for alarm in quiet.alarms
            ),
        ]
    for control in scores.table.control:
        row = scores.of(control)
        told = "not run"
        if row is not None:
            told = {
                Result.SHOWN: f"**a false alarm**: {row.by}: {_cell(row.text)}",
                Result.NOT_SHOWN: f"clean, as it must be (`{row.panthorlab}`)",
            }.get(row.result, row.result.value)
        lines.append(f"- control `{control.id}` ({control.does}): {told}")
    return lines


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


def summary(rows: Iterable[AnyRow], states: Mapping[str, State]) -> str:
    """One line for the console."""
    done = [states[row.id] for row in rows if row.id in states and not isinstance(row, Control)]
    return ", ".join(f"{sum(state.result is result for state in done)} {result}" for result in Result)
