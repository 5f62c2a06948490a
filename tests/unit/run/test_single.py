# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab run` makes of its events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panthorlab.run import single

START: dict[str, Any] = {"event": "run-start", "options": {"board": "b", "kernel": "k"}, "suites": ["probe"]}
END: dict[str, Any] = {"event": "run-end"}


def _test(outcome: str) -> dict[str, Any]:
    return {"event": "test", "suite": "probe", "test": "t", "outcome": outcome, "message": "why"}


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([_test("PASS"), END], 0),
        ([_test("FAIL"), END], 1),
        ([_test("ERROR"), END], 4),
        ([_test("FAIL"), _test("ERROR"), END], 4),
        ([_test("PASS")], 4),  # interrupted
        ([END], 4),  # nothing ran
    ],
)
def test_exit_status(
    events: list[dict[str, Any]], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert single.summary(tmp_path, [START, *events], as_json=True) == status
    assert json.loads(capsys.readouterr().out)["exit"] == status
