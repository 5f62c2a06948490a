# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary at the end of a run: one terminal screen, the verdict and what remains at its foot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from typing import TextIO

from panthorlab.outcome import Role, Side
from panthorlab.report.faults import again, headline, once_more, owner, place, telling
from panthorlab.report.leftout import not_run
from panthorlab.report.model import RunReport
from panthorlab.report.text import counts, direction, fit, interval, pad, plain, seconds, width, wrap
from panthorlab.verdict.model import VariantVerdict, Verdict, WorkloadVerdict

COLUMNS = 80
NARROW = 74
"""Below this there is no room for intervals and p values beside a name."""
MOST = 120
"""Wider lines are harder to read, not easier."""
LEAST = 40
LINES = 40
MOST_VARIANTS = 6
"""Lines for what ran in other boots than the plain ones; the reports have all."""

_COLOURS = {
    Verdict.FIXED: "32",
    Verdict.CLEAN: "32",
    Verdict.UNCHANGED: "33",
    Verdict.INCONCLUSIVE: "33",
    Verdict.REDUCED: "31",
    Verdict.NOT_FIXED: "31",
    Verdict.REGRESSED: "1;31",
    Verdict.ERROR: "35",
}


def use_colour(stream: TextIO) -> bool:
    """Colour only on a terminal, and not where the user or the terminal says no (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns_of(stream: TextIO) -> int:
    """The width of the terminal that `stream` is, within reason; `COLUMNS` where it is none."""
    if not stream.isatty():
        return COLUMNS
    return max(LEAST, min(MOST, shutil.get_terminal_size((COLUMNS, LINES)).columns))


def render(report: RunReport, *, colour: bool = False, columns: int = COLUMNS, lines: int = LINES) -> str:
    """The summary as text, at most `lines` lines of `columns` columns (plus colour codes)."""
    paint = _Paint(colour)
    head, foot = _head(report, columns), _foot(report, columns, paint)
    fault = _fault(report, columns)
    room = lines - len(head) - len(foot) - len(fault) - 2
    table = _table(report, max(room, 4), columns, paint)
    return "\n".join([*head, "", *table, *fault, "", *foot]) + "\n"


class _Paint:
    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, text: str, verdict: Verdict) -> str:
        return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m" if self.colour else text


def _labelled(label: str, text: str, columns: int) -> str:
    return fit(f"{label:<8}{plain(text)}", columns)


def _head(report: RunReport, columns: int) -> list[str]:
    shown = [_labelled("claim", report.claim, columns)] if report.claim else _patches(report, columns)
    if report.base:
        shown.append(_labelled("base", report.base, columns))
    for side in (Side.BEFORE, Side.AFTER):
        kernel = report.kernels.get(side)
        if kernel:
            telling = [f"{name} {build_id[:16]}" for name, build_id in report.telling_modules(side).items()]
            shown_id = (kernel.build_id or "")[: 8 if telling else 16]
            build_id = f"build-id {shown_id}" if shown_id else "build-id not proved"
            parts = (kernel.release or kernel.key, build_id, *telling[:1], kernel.description)
            shown.append(_labelled(side, " · ".join(part for part in parts if part), columns))
    boots = report.verdict.boots
    ran = f"{boots.get(Side.BEFORE, 0)}+{boots.get(Side.AFTER, 0)} boots"
    about = report.board.description or ("emulated" if report.board.emulated else "")
    shown.append(_labelled("board", " · ".join(part for part in (report.board.name, about, ran) if part), columns))
    return shown


def _patches(report: RunReport, columns: int) -> list[str]:
    shown = [
        _labelled("patch", f"{patch.title} ({plain(patch.state)})" if patch.state else patch.title, columns)
        for patch in report.patches[:2]
    ]
    if len(report.patches) > 2:
        shown[1] = _labelled("", f"and {len(report.patches) - 1} more patches", columns)
    return shown


def _row(workload: WorkloadVerdict, columns: int, paint: _Paint, *, short: bool) -> str:
    name = plain(workload.name)
    if columns < NARROW:
        return " ".join(
            (
                pad(name.rpartition("/")[2], _name_width(columns)),
                f"{counts(workload.before):>9} {counts(workload.after):>9}",
                paint(workload.verdict, workload.verdict),
            )
        )
    return " ".join(
        (
            pad(name.rpartition("/")[2] if short else name, _name_width(columns)),
            f"{counts(workload.before):>9} {interval(workload.before):<8}",
            f"{counts(workload.after):>9} {interval(workload.after):<8}",
            f"{direction(workload):>8}",
            paint(workload.verdict, workload.verdict),
        )
    )


def _name_width(columns: int) -> int:
    return columns - 33 if columns < NARROW else max(12, columns - 62)


def _table(report: RunReport, room: int, columns: int, paint: _Paint) -> list[str]:
    """Claims and controls; watch workloads stand under the verdict. The worst are shown if there is no room for all."""
    workloads = [w for w in report.verdict.workloads if w.role is not Role.WATCH]
    if not workloads:
        return ["no claim or control workload was judged"]
    name = pad("workload", _name_width(columns))
    if columns < NARROW:
        head = f"{name} {'before':>9} {'after':>9} verdict"
    else:
        head = f"{name} {'before':>9} {'95 %':<8} {'after':>9} {'95 %':<8} {'p':>8} verdict"
    return [head, *_rows(workloads, room - 1, columns, paint)]


def _rows(workloads: Sequence[WorkloadVerdict], room: int, columns: int, paint: _Paint) -> list[str]:
    # all by their mode alone, if the program's name before it leaves no room for one of them
    short = any(width(plain(workload.name)) > _name_width(columns) for workload in workloads)
    if len(workloads) <= room:
        return [_row(workload, columns, paint, short=short) for workload in workloads]
    worst = sorted(workloads, key=lambda w: -w.verdict.badness)
    kept, rest = worst[: room - 1], worst[room - 1 :]
    return [
        *(_row(w, columns, paint, short=short) for w in workloads if w in kept),
        fit(_tally(rest, f"{len(rest)} more"), columns),
    ]


def _tally(workloads: Iterable[WorkloadVerdict], what: str) -> str:
    """`5 more: clean a, b, c; fixed d, e`."""
    by_verdict: dict[Verdict, list[str]] = {}
    for workload in workloads:
        by_verdict.setdefault(workload.verdict, []).append(plain(workload.name))
    groups = (f"{verdict} {', '.join(names)}" for verdict, names in by_verdict.items())
    return f"{what}: {'; '.join(groups)}"


def _fault(report: RunReport, columns: int) -> list[str]:
    finding = telling(report)
    if finding is None:
        return []
    total = len(report.findings)
    shown = [
        "",
        fit(f"One of {total} finding{'s' if total > 1 else ''} ({place(finding)}):", columns),
        fit(f"  {headline(finding)}", columns),
    ]
    whose = owner(finding)
    if whose:
        shown.append(fit(f"  belongs to {whose}", columns))
    if command := once_more(report, finding):
        shown.append(f"  again: {command}")
    return shown


def _foot(report: RunReport, columns: int, paint: _Paint) -> list[str]:
    verdict = report.verdict
    shown = [f"{paint(verdict.verdict.upper(), verdict.verdict)}  (exit status {verdict.exit})"]
    # of a good verdict the first reason says it all
    reasons = verdict.reasons
    if verdict.verdict in (Verdict.FIXED, Verdict.CLEAN):
        reasons = (*reasons[: 2 if report.unproved else 1], *verdict.asides)
    shown += _limited(
        [line for reason in reasons for line in wrap(plain(reason), columns, first="  - ", rest="    ")], 8, "reasons"
    )
    worse = (again(report, test) for test in verdict.tests if test.verdict is Verdict.REGRESSED)
    shown += [f"    again: {command}" for command in worse if command][:1]
    shown += _surprises(report, columns)
    for line in report.coverage_lines:
        shown += wrap(plain(line), columns, first="lines   ", rest="        ")[:3]
    shown += _residual(report, columns, paint)
    shown += [_variant(report, variant, columns) for variant in verdict.variants[:MOST_VARIANTS]]
    failing = [test for test in verdict.tests if test.verdict is Verdict.NOT_FIXED]
    if failing:
        names = ", ".join(plain(test.name) for test in failing)
        shown.append(fit(f"Tests that fail on both sides: {names}", columns))
    shown += _limited(
        [
            line
            for note in (*not_run(report.left_out), *report.notes)
            for line in wrap(plain(note), columns, first="note    ", rest="        ")
        ],
        4,
        "notes",
    )
    phases = " · ".join(f"{phase.name} {seconds(phase.seconds)}" for phase in report.phases)
    spent = seconds(report.seconds) + (f" ({phases})" if phases else "")
    shown += wrap(plain(spent), columns, first="time    ", rest="        ")[:2]
    path = str(report.run_dir)
    # a path that is too long is still whole: it must be possible to copy it
    shown.append(f"run     {path}" if width(path) <= columns - 8 else path)
    return shown


def _surprises(report: RunReport, columns: int) -> list[str]:
    """What is more often is a verdict already."""
    lines = [
        line
        for found in report.verdict.surprises
        if found.fewer
        for line in wrap(plain(found.reason), columns, first="  ? ", rest="    ")
    ]
    return ["Surprises, which nobody claims:", *_limited(lines, 6, "surprises")] if lines else []


def _variant(report: RunReport, variant: VariantVerdict, columns: int) -> str:
    """In one line: what boots of another kernel or parameters say, and which of their workloads show something."""
    residual = [w.name.removesuffix(f" [{variant.name}]") for w in report.verdict.residual if w.variant == variant.name]
    shows = f"; after shows something in {', '.join(residual)}" if residual else ""
    return _labelled("also", f"{variant.name}: {variant.verdict}{shows}", columns)


def _residual(report: RunReport, columns: int, paint: _Paint) -> list[str]:
    watched = [w for w in report.verdict.workloads if w.role is Role.WATCH and not w.variant]
    if not watched:
        return []
    residual = [workload for workload in report.verdict.residual if not workload.variant]
    rest = [workload for workload in watched if workload not in residual]
    shown = []
    if residual:
        head = fit("Residual, in watch workloads the patch does not claim:", columns)
        shown += [head, *_rows(residual, 5, columns, paint)]
    if rest:
        what = "Other watch workloads" if residual else "No residual in watch workloads"
        shown += _limited(wrap(_tally(rest, what), columns, rest="  "), 3, "workloads")
    return shown


def _limited(lines: list[str], limit: int, what: str) -> list[str]:
    if len(lines) <= limit:
        return lines
    return [*lines[: limit - 1], f"    … more {what} in the report"]
