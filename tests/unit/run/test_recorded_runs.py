# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs of runs that earlier versions made are read as they were: `tests/data/runs/*/expected.json` is what the version
that knew no types made of each (some are cut, and so are errors now)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from panthorlab.report import json_report
from panthorlab.run import reports, results
from panthorlab.run.record.log import is_validation, read_run
from panthorlab.run.record.versions import as_json, event_of
from panthorlab.run.summary import summary

RUNS = sorted(path.parent for path in (Path(__file__).parents[2] / "data/runs").glob("*/events.jsonl"))


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_verdict_report_and_summary_are_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads((run / "expected.json").read_text())
    events = read_run(run)
    assert is_validation(events) is ("report" in expected)
    if "report" in expected:
        verdict = reports.judge(events)
        made = json.loads(json_report.render(results.report(Path("/run"), events, verdict)))
        assert {key: made[key] for key in expected["report"]} == expected["report"]
        more = reports.extension_of(events)
        assert {"iterations": more.iterations, "boots": more.boots, "why": list(more.why)} == expected["extension"]
        assert {name: list(tests) for name, tests in reports.doubts_of(events).items()} == expected["doubts"]
    assert summary(Path("/run"), events, as_json=True) == expected["summary"]["exit"]
    made = json.loads(capsys.readouterr().out)
    assert {key: made[key] for key in expected["summary"]} == expected["summary"]


def test_all_kinds_of_logs_are_there() -> None:
    assert len(RUNS) == 8


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_what_is_written_again_is_the_same(run: Path) -> None:
    for event in read_run(run):
        assert event_of(json.loads(json.dumps(as_json(event)))) == event
