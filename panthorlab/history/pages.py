# SPDX-License-Identifier: GPL-2.0-or-later
"""The history as static pages: no scripts, nothing loaded from elsewhere, every text escaped. Links go to the reports
of runs that have one, by paths from where the pages lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from panthorlab.history.facts import RunFacts
from panthorlab.history.trends import Rate, Trend, Trends
from panthorlab.report.html import environment
from panthorlab.report.text import percent

PAGES: Final = {
    "nights": "index.html",
    "suites": "suites.html",
    "signatures": "signatures.html",
    "kernels": "kernels.html",
    "runs": "runs.html",
}
MOST: Final = 200
MOST_NIGHTS: Final = 400
MOST_POINTS: Final = 40
MOST_ROWS: Final = 500
MOST_RUNS: Final = 1500
MOST_PLACES: Final = 12
WIDTH: Final = 6 * MOST_POINTS
K = TypeVar("K")


@dataclass(frozen=True)
class Points:
    """Paths of a trend: a whisker and a dot a night."""

    whiskers: str
    dots: str


def render(trends: Trends, directory: Path) -> Iterator[tuple[str, str]]:
    """File names and pages, for `directory`."""
    template = environment().get_template("history.html.j2")
    shown = trends.trends[:MOST_ROWS]
    suites = [(suite, list(own)) for suite, own in groupby(shown, key=_suite)]

    def link(run: RunFacts) -> str:
        report = run.path / "report.html"
        return quote(os.fsencode(os.path.relpath(report, directory))) if report.is_file() else ""

    for page, file in PAGES.items():
        yield (
            file,
            template.render(
                page=page,
                pages=PAGES.items(),
                trends=trends,
                suites=suites,
                left=len(trends.trends) - len(shown),
                points=points,
                interval=lambda rate: percent(*rate.interval),
                moment=moment,
                link=link,
                top=_top,
                width=WIDTH,
                most=MOST,
                most_nights=MOST_NIGHTS,
                most_points=MOST_POINTS,
                most_runs=MOST_RUNS,
                most_signatures=MOST,
            ),
        )


def _suite(trend: Trend) -> str:
    return trend.suite


def _top(places: Mapping[K, Rate]) -> list[tuple[K, Rate]]:
    return sorted(places.items(), key=lambda item: -item[1].faulty)[:MOST_PLACES]


def points(nights: Mapping[str, Rate]) -> Points:
    """Of the last nights; the oldest is on the left, 0 at 27, 100 % at 3."""
    whiskers, dots = [], []
    for index, date in enumerate(sorted(nights)[-MOST_POINTS:]):
        rate = nights[date]
        if not rate.judged:
            continue
        x = 3 + 6 * index
        low, high = (27 - 24 * bound for bound in rate.interval)
        whiskers.append(f"M{x} {low:.1f}V{high:.1f}")
        dots.append(f"M{x} {27 - 24 * rate.faulty / rate.judged:.1f}h0")
    return Points("".join(whiskers), "".join(dots))


def moment(when: float) -> str:
    """Date and time in the time of this machine."""
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M") if when else ""
