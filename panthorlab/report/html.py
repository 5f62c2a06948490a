# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as one static HTML file: no scripts, nothing loaded from elsewhere, every text escaped.

`run.html.j2` is the page. Titles, logs and names are untrusted: jinja2 escapes whatever it prints, and the page's own
policy forbids scripts even so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from panthorlab.outcome import Side
from panthorlab.report.faults import FindingFields, again, headline, once_more, owner, place, repeating
from panthorlab.report.model import RunReport
from panthorlab.report.plots import strips, whisker
from panthorlab.report.text import counts, direction, fact, interval, seconds, xml_text
from panthorlab.report.timeline import Timeline
from panthorlab.verdict.model import Verdict, WorkloadVerdict
from panthorlab.verdict.side import BootCount, SideResult

MAX_GROUPS = 100
"""Signatures shown, each with one finding in full; all findings are in the JSON report."""

MAX_PLACES = 10
"""Places named for each."""


def render(report: RunReport, timeline: Timeline | None = None) -> str:
    """The page, as text to be written in UTF-8. `timeline`: of one of its faults."""
    coverage = report.coverage or {}
    suites = dict.fromkeys(name for one in coverage.values() for name in one.suites)
    return _template().render(
        report=report,
        verdict=report.verdict,
        facts=list(_facts(report)),
        variants=list(_variants(report)),
        groups=_groups(report),
        max_groups=MAX_GROUPS,
        coverage_heads=[f"{side}: functions, lines" for side in coverage],
        covered=[(name, [one.suites.get(name, ()) for one in coverage.values()]) for name in suites],
        boots=_boots,
        again=lambda test: again(report, test),
        counts=counts,
        interval=interval,
        direction=direction,
        per_boot=_per_boot,
        strips=strips(report.ran),
        whisker=whisker,
        repeating=repeating(report),
        timeline=timeline,
    )


def render_timeline(timeline: Timeline, run_dir: Path) -> str:
    """A page with the timeline alone, for runs that have no other."""
    return environment().get_template("timeline.html.j2").render(timeline=timeline, run_dir=run_dir)


def _template() -> Template:
    return environment().get_template("run.html.j2")


@cache
def environment() -> Environment:
    """Of all pages: escapes whatever they print."""
    return Environment(
        loader=PackageLoader("panthorlab", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: object) -> object:
    """What HTML cannot hold, made visible. Markup is what a macro of the template made: it has been here before."""
    return value if isinstance(value, Markup) else xml_text(value)


@dataclass(frozen=True)
class _Variant:
    name: str
    verdict: Verdict
    settings: str
    boots: Mapping[Side, int]
    kernels: str
    reasons: Sequence[str]


def _variants(report: RunReport) -> Iterator[_Variant]:
    about = {info.name: info for info in report.variants}
    for variant in report.verdict.variants:
        info = about.get(variant.name)
        kernels = "; ".join(f"{side} {kernel.key}" for side, kernel in info.kernels.items()) if info else ""
        settings = ", ".join((*info.fragments, *(f"{k}={v}" for k, v in info.params.items()))) if info else ""
        yield _Variant(variant.name, variant.verdict, settings, variant.boots, kernels, variant.reasons)


def _boots(boots: Mapping[Side, int]) -> str:
    return f"{boots.get(Side.BEFORE, 0)} before, {boots.get(Side.AFTER, 0)} after"


def _facts(report: RunReport) -> Iterator[tuple[str, object]]:
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
    rows += [
        ("boots", _boots(report.verdict.boots)),
        ("suites", ", ".join(report.suites)),
        ("started", report.started.isoformat(timespec="seconds")),
        ("took", seconds(report.seconds)),
        ("phases", ", ".join(f"{phase.name} {seconds(phase.seconds)}" for phase in report.phases)),
        ("exit status", report.verdict.exit),
        ("expected", report.verdict.expect),
        ("seed", "" if report.seed is None else report.seed),
        ("command", " ".join(report.command)),
    ]
    return ((name, value) for name, value in rows if str(value) != "")


def _per_boot(workload: WorkloadVerdict) -> str:
    sides = (workload.before, workload.after)
    return "; ".join(f"{side.side} {_boots_of(side)}" for side in sides if side.boots)


def _boots_of(side: SideResult) -> str:
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


@dataclass(frozen=True)
class _Group:
    """All findings of one signature on one side: how many, where, and the first of them."""

    name: str
    side: str
    same: Sequence[FindingFields]
    again: str
    """The command that repeats the first, if it can be."""

    @property
    def headline(self) -> str:
        return headline(self.same[0])

    @property
    def place(self) -> str:
        return place(self.same[0])

    @property
    def owner(self) -> str:
        return owner(self.same[0])

    @property
    def places(self) -> str:
        where = Counter(str(finding.get("workload") or "outside iterations") for finding in self.same)
        named = ", ".join(f"{workload} {count}" for workload, count in where.most_common(MAX_PLACES))
        return named + (f" and {len(where) - MAX_PLACES} others" if len(where) > MAX_PLACES else "")


def _groups(report: RunReport) -> list[_Group]:
    groups: dict[tuple[str, str], list[FindingFields]] = {}
    for finding in report.findings:
        name = str(finding.get("signature") or finding.get("kind"))
        groups.setdefault((name, str(finding.get("side") or "")), []).append(finding)
    return [_Group(name, side, same, once_more(report, same[0])) for (name, side), same in groups.items()]
