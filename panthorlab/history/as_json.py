# SPDX-License-Identifier: GPL-2.0-or-later
"""The history as JSON: all of it, where pages show what there is room for. Keys are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panthorlab.history.facts import RunFacts
from panthorlab.history.trends import Rate, SignatureTrend, Trend, Trends


def to_json(trends: Trends) -> dict[str, Any]:
    """Rates are `faulty`, `judged` and `interval`; moments are Unix time."""
    return {
        "runs": [run_json(run) for run in trends.runs],
        "nights": [
            {
                "date": night.date,
                "runs": dict(sorted(night.runs.items())),
                "attempted": night.attempted,
                "judged": night.judged,
                "lost": night.lost,
                "boots": night.boots,
                "boots_lost": night.boots_lost,
            }
            for night in trends.nights
        ],
        "trends": [_trend(trend) for trend in trends.trends],
        "signatures": [_signature(own) for own in trends.signatures],
        "kernels": [
            {
                "key": row.key,
                "kernel": row.kernel,
                "board": row.board,
                "runs": row.runs,
                "first": row.first,
                "last": row.last,
                "iterations": _rate(row.iterations),
                "tests": _rate(row.tests),
                "signatures": sorted(row.signatures),
            }
            for row in trends.kernels
        ],
    }


def run_json(run: RunFacts) -> dict[str, Any]:
    """One run of `history --json` and `runs --json`."""
    return {
        "run": str(run.path),
        "kind": run.kind,
        "state": run.state.value,
        "why": run.why,
        "verdict": run.verdict,
        "exit": run.exit,
        "title": run.title,
        "base": run.base,
        "started": run.started,
        "seconds": run.seconds,
        "boots": run.boots,
        "boots_lost": run.boots_lost,
        "attempted": run.judged + run.lost,
        "judged": run.judged,
        "lost": run.lost,
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {"faulty": rate.faulty, "judged": rate.judged, "interval": list(rate.interval)}


def _rates(rates: Mapping[str, Rate]) -> dict[str, Any]:
    return {name: _rate(rate) for name, rate in rates.items()}


def _trend(trend: Trend) -> dict[str, Any]:
    return {
        "what": trend.what,
        "suite": trend.suite,
        "name": trend.name,
        "board": trend.board,
        "arm": trend.arm,
        "nights": _rates(trend.nights),
        "all": _rate(trend.all),
        "lost": trend.lost,
        "kernels": _rates(trend.kernels),
        "flaky": trend.flaky,
        "flakes": _rate(trend.flakes),
    }


def _signature(own: SignatureTrend) -> dict[str, Any]:
    return {
        "signature": own.signature,
        "kind": own.kind,
        "headline": own.headline,
        "first": own.first,
        "first_run": str(own.first_run.path),
        "last": own.last,
        "last_run": str(own.last_run.path),
        "runs": own.runs,
        "times": own.times,
        "arms": dict(own.arms),
        "nights": _rates(own.nights),
        "places": [
            {"kernel": kernel, "board": board, "workload": workload, **_rate(rate)}
            for (kernel, board, workload), rate in own.places.items()
        ],
    }
