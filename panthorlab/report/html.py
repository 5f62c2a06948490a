# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as one static HTML file: no scripts, nothing loaded from elsewhere, every text escaped.

Titles, logs and names are untrusted: `_esc` is the only way text gets into the page, and the page's own policy forbids
scripts even so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from panthorlab.outcome import Side
from panthorlab.report.faults import Finding, headline, owner, place
from panthorlab.report.model import RunReport
from panthorlab.report.text import counts, direction, fact, interval, seconds, xml_text
from panthorlab.verdict.model import BootCount, SideResult, Verdict, WorkloadVerdict

MAX_GROUPS = 100
"""Signatures shown, each with one finding in full; all findings are in the JSON report."""

MAX_PLACES = 10
"""Places named for each."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
.t{overflow-x:auto;margin:.5rem 0 1.5rem}table{border-collapse:collapse}
.t:not(.f) td{white-space:nowrap}.t:not(.f) td:last-child{min-width:16rem;white-space:normal}
.t:not(.f) td:nth-last-child(2){min-width:7rem;white-space:normal}
h1,li,.f td:last-child{overflow-wrap:anywhere}th,td{text-align:left;padding:.2rem .8rem .2rem 0;
vertical-align:top;border-bottom:1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;background:#f5f5f5;padding:.6rem;margin:.3rem 0;overflow-wrap:anywhere}
.v{font-weight:600;padding:.05rem .5rem;border-radius:.3rem;color:#fff;background:#666}
.fixed,.clean{background:#1a7f37}.reduced,.not-fixed,.regressed{background:#b3261e}
.inconclusive,.unchanged{background:#8a6100}.error{background:#6a3fa0}
h1 .v{font-size:1.3rem}small{color:#555}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#222}
th,td{border-color:#333}small{color:#aaa}}
"""


def render(report: RunReport) -> str:
    """The page, as text to be written in UTF-8."""
    title = report.title
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{_esc(report.verdict.verdict)}: {_esc(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_badge(report.verdict.verdict)} {_esc(title)}</h1>",
        _list(report.verdict.reasons),
        *_surprises(report),
        *_coverage(report),
        *_residual(report),
        *_variants(report),
        *_facts(report),
        *_workloads(report),
        *_tests(report),
        *_findings(report),
        *_left_out(report),
        *_notes(report),
        f"<p><small>panthorlab {_esc(report.version)}; run <code>{_esc(report.run_dir)}</code></small></p>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _esc(text: object) -> str:
    return escape(xml_text(text), quote=True)


def _badge(verdict: Verdict) -> str:
    return f'<span class="v {_esc(verdict.value)}">{_esc(verdict.value)}</span>'


def _list(items: Iterable[object]) -> str:
    return "<ul>" + "".join(f"<li>{_esc(item)}</li>" for item in items) + "</ul>"


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset(), *, facts: bool = False,
) -> str:
    """Cells of `rows` are HTML already; `numbers` are the columns to align right. Wide ones scroll, those of `facts`
    break their last column."""
    shown = "".join(f"<th>{_esc(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td{' class=n' if i in numbers else ''}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    kind = "t f" if facts else "t"
    return f'<div class="{kind}"><table><thead><tr>{shown}</tr></thead><tbody>{body}</tbody></table></div>'


def _surprises(report: RunReport) -> list[str]:
    found = report.verdict.surprises
    return ["<h2>Surprises: changes that nobody claims</h2>", _list(one.reason for one in found)] if found else []


def _variants(report: RunReport) -> list[str]:
    if not report.verdict.variants:
        return []
    about = {info.name: info for info in report.variants}
    rows = []
    for variant in report.verdict.variants:
        info = about.get(variant.name)
        kernels = "; ".join(f"{side} {kernel.key}" for side, kernel in info.kernels.items()) if info else ""
        with_ = ", ".join((*info.fragments, *(f"{k}={v}" for k, v in info.params.items()))) if info else ""
        boots = f"{variant.boots.get(Side.BEFORE, 0)} before, {variant.boots.get(Side.AFTER, 0)} after"
        rows.append([_esc(variant.name), _badge(variant.verdict), _esc(with_), _esc(boots), _esc(kernels),
                     _esc("; ".join(variant.reasons))])
    return ["<h2>Other kernels and parameters</h2>",
            _table(("variant", "verdict", "with", "boots", "kernels", "why"), rows)]


def _left_out(report: RunReport) -> list[str]:
    lines = (f"{test}: {why}" for test, why in report.left_out.items())
    return [f"<h2>Not run ({len(report.left_out)})</h2>", _list(lines)] if report.left_out else []


def _residual(report: RunReport) -> list[str]:
    residual = report.verdict.residual
    if not residual:
        return []
    rows = (f"{w.name}: {w.verdict}, {w.reasons[0] if w.reasons else ''}" for w in residual)
    return ["<h2>Residual in watch workloads</h2>", _list(rows)]


def _coverage(report: RunReport) -> list[str]:
    if report.coverage is None:
        return []
    suites = dict.fromkeys(name for one in report.coverage.values() for name in one.suites)
    rows = [
        [_esc(name), *("<br>".join(_esc(f"{number}") for number in one.suites.get(name, ())) for one in
                       report.coverage.values())]
        for name in suites
    ]
    table = _table(["suite", *(f"{side}: functions, lines" for side in report.coverage)], rows) if rows else ""
    return ["<h2>Lines that ran</h2>", _list(report.coverage_lines), table]


def _facts(report: RunReport) -> list[str]:
    rows: list[tuple[str, object]] = [
        (f"patch {number}", f"{patch.title} — {patch.state} {patch.source}")
        for number, patch in enumerate(report.patches, 1)
    ]
    rows += [("base", report.base), ("base commit", report.base_commit)]
    for side, kernel in report.kernels.items():
        rows.append((side, f"{kernel.release} — {kernel.description}"))
        rows.append((f"{side} build-id", f"{kernel.build_id or 'not proved'} (store key {kernel.key})"))
        rows += [(f"{side} {name}", f"build-id {build_id}") for name, build_id in report.telling_modules(side).items()]
        rows += [(f"{side} config", " + ".join(kernel.config)), (f"{side} compiler", kernel.toolchain)]
    rows.append(("board", f"{report.board.name} {report.board.description}"))
    rows += ((name, fact(value)) for name, value in report.board.facts.items())
    boots = report.verdict.boots
    rows += [
        ("boots", f"{boots.get(Side.BEFORE, 0)} before, {boots.get(Side.AFTER, 0)} after"),
        ("suites", ", ".join(report.suites)),
        ("started", report.started.isoformat(timespec="seconds")),
        ("took", seconds(report.seconds)),
        ("phases", ", ".join(f"{phase.name} {seconds(phase.seconds)}" for phase in report.phases)),
        ("exit status", report.verdict.exit),
        ("expected", report.verdict.expect),
        ("seed", "" if report.seed is None else report.seed),
        ("command", " ".join(report.command)),
    ]
    shown = ((_esc(name), _esc(value)) for name, value in rows if str(value) != "")
    return ["<h2>What was tested</h2>", _table(("", ""), shown, facts=True)]


def _workloads(report: RunReport) -> list[str]:
    if not report.verdict.workloads:
        return []
    head = ("workload", "role", "before", "95 %", "after", "95 %", "p", "missable", "verdict", "per boot", "why")
    rows = (_workload(workload) for workload in report.verdict.workloads)
    return [
        "<h2>Workloads</h2>", _table(head, rows, frozenset({2, 4, 7})),
        "<p><small>faulty/total with Wilson 95 % intervals; p: one-sided exact test (Fisher's; several boards are its "
        "strata), Holm-adjusted over the workloads of a role, ↓ fewer and ↑ more on after; missable: the rate on after "
        "that would have been missed with a probability of 1 %.</small></p>",
    ]


def _workload(workload: WorkloadVerdict) -> list[str]:
    boots = "; ".join(f"{side.side} {_per_boot(side)}" for side in (workload.before, workload.after) if side.boots)
    return [
        _esc(workload.name), _esc(workload.role), _esc(counts(workload.before)), _esc(interval(workload.before)),
        _esc(counts(workload.after)), _esc(interval(workload.after)), _esc(direction(workload)),
        f"{workload.missable_rate:.2%}", _badge(workload.verdict), _esc(boots), _esc("; ".join(workload.reasons)),
    ]


def _per_boot(side: SideResult) -> str:
    """The counts of each boot; with several boards, by board, each with its sum."""
    def of(boots: Iterable[BootCount]) -> str:
        return ", ".join(f"{boot.faulty}/{boot.iterations}" for boot in boots)

    boards = side.boards
    if len(boards) == 1:
        return of(side.boots)
    return " ".join(
        f"{board.board} {board.faulty}/{board.iterations} ({of(b for b in side.boots if b.board == board.board)})"
        for board in boards
    )


def _tests(report: RunReport) -> list[str]:
    if not report.verdict.tests:
        return []
    rows = (
        (_esc(t.name), _esc(t.before), _esc(t.after), _badge(t.verdict), f"{_esc(t.reason)}{_pre(t.message)}")
        for t in report.verdict.tests
    )
    return ["<h2>Tests</h2>", _table(("test", "before", "after", "verdict", "why"), rows)]


def _pre(text: object) -> str:
    return f"<pre>{_esc(text)}</pre>" if text else ""


def _findings(report: RunReport) -> list[str]:
    if not report.findings:
        return []
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        name = str(finding.get("signature") or finding.get("kind"))
        groups.setdefault((name, str(finding.get("side") or "")), []).append(finding)
    more = len(groups) - MAX_GROUPS
    return [
        f"<h2>Findings ({len(report.findings)})</h2>",
        *(_group(name, side, same) for (name, side), same in list(groups.items())[:MAX_GROUPS]),
        *([f"<p>{more} more kinds are in the JSON report.</p>"] if more > 0 else []),
    ]


def _group(name: str, side: str, same: Sequence[Finding]) -> str:
    """All findings of one signature on one side: how many, where, and the first of them in full."""
    first, whose = same[0], owner(same[0])
    where = Counter(str(finding.get("workload") or "outside iterations") for finding in same)
    places = ", ".join(f"{workload} {count}" for workload, count in where.most_common(MAX_PLACES))
    others = f" and {len(where) - MAX_PLACES} others" if len(where) > MAX_PLACES else ""
    return (
        f"<details><summary>{len(same)} × {_esc(headline(first))} <small>{_esc(side)}</small></summary>"
        f"<p><small>{_esc(places + others)}</small></p>"
        f"<p><small>the first: {_esc(place(first))}{_esc(' — belongs to ' + whose if whose else '')}</small></p>"
        f"{_pre(first.get('text'))}<small>{_esc(name)}</small></details>"
    )


def _notes(report: RunReport) -> list[str]:
    return ["<h2>Notes</h2>", _list(report.notes)] if report.notes else []
