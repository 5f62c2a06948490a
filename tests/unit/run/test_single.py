# SPDX-License-Identifier: GPL-2.0-or-later
"""What `panthorlab run` makes of its events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .recorded import summary

START: dict[str, Any] = {"event": "run-start", "options": {"board": "b", "kernel": "k"}, "suites": ["probe"]}
END: dict[str, Any] = {"event": "run-end"}


def _test(outcome: str) -> dict[str, Any]:
    return {"event": "test", "suite": "probe", "test": "t", "outcome": outcome, "message": "why"}


def _boot(name: str, *, complete: bool, blame: str | None) -> dict[str, Any]:
    outcome = {"lab": "ERROR", "kernel": "FAIL", None: "PASS"}[blame]
    return {
        "event": "boot-end",
        "boot": name,
        "slot": name.partition(".")[0],
        "complete": complete,
        "blame": blame,
        "outcome": outcome,
        "reason": "why",
    }


def _stray(boot: str = "after1.1", **more: Any) -> dict[str, Any]:
    finding = {"kind": "kasan", "signature": "kasan:use", "line": 71, "text": "BUG: KASAN: use in f"}
    return {"event": "stray", "boot": boot, "side": "after", "finding": finding, **more}


def test_findings_outside_iterations_are_the_kernels_fault_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summary(tmp_path, [START, _test("PASS"), _stray(), END], as_json=False) == 1
    assert (
        "FAILED outside iterations, before any iteration: 1 × kasan: BUG: KASAN: use in f (line 71, kasan:use)"
        in capsys.readouterr().out
    )
    assert summary(tmp_path, [START, _test("PASS"), _stray(), END], as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "kasan"
    assert summary(tmp_path, [START, _test("PASS"), _stray(expected=True), END], as_json=False) == 0
    # a boot that the lab failed and that was done again keeps what it found
    again = [
        _boot("after1.1", complete=False, blame="lab"),
        _stray(),
        _test("PASS"),
        _boot("after1.2", complete=True, blame=None),
        END,
    ]
    assert summary(tmp_path, [START, *again], as_json=False) == 1


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([_test("PASS"), END], 0),
        ([_test("FAIL"), END], 1),
        ([_test("ERROR"), END], 4),
        ([_test("FAIL"), _test("ERROR"), END], 4),
        ([_test("PASS")], 4),  # interrupted
        ([END], 4),  # nothing ran
        # what the lab failed is an error, unless it was done again
        ([_boot("after1.1", complete=False, blame="lab"), _test("PASS"), END], 4),
        (
            [
                _boot("after1.1", complete=False, blame="lab"),
                {**_test("ERROR"), "boot": "after1.1"},
                _test("PASS"),
                _boot("after1.2", complete=True, blame=None),
                END,
            ],
            0,
        ),
        (
            [
                _boot("after1.1", complete=False, blame="lab"),
                _test("PASS"),
                _boot("after2.1", complete=True, blame=None),
                END,
            ],
            4,
        ),
        (
            [
                _boot("after1.1", complete=False, blame="kernel"),
                _test("PASS"),
                _boot("after1.2", complete=True, blame=None),
                END,
            ],
            1,
        ),
    ],
)
def test_exit_status(
    events: list[dict[str, Any]], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summary(tmp_path, [START, *events], as_json=True) == status
    assert json.loads(capsys.readouterr().out)["exit"] == status


def test_a_list_touches_no_declared_kind_outside_iterations_either(tmp_path: Path) -> None:
    claim: dict[str, Any] = {
        "event": "iteration",
        "id": "i",
        "workload": "w",
        "role": "claim",
        "outcome": "PASS",
        "message": "",
        "terminations": 1,
        "declared": ["mmu-fault"],
        "kinds": [],
        "signatures": [],
        "program_failed": False,
        "findings": [],
    }

    def status(kind: str, marker: str, entry: str) -> int:
        known = [{"pattern": entry, "source": "f:1", "about": ""}]
        finding = {"kind": kind, "signature": f"{kind}:x", "line": 1, "text": "x"}
        stray = {"event": "stray", "boot": "b", "finding": finding, "marker": {"id": "i", "workload": marker}}
        return summary(tmp_path, [{**START, "options": {"known": known}}, claim, stray, END], as_json=False)

    for marker in ("w", "gpu-job/store", ""):
        assert status("mmu-fault", marker, ".*@.*") == 1
        assert status("warning", marker, "boot@warning") == 0
    assert status("warning", "w", "w@warning:x") == 0
    assert status("warning", "w", "v@warning:x") == 1


def test_what_was_skipped_is_told_and_nothing_else_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summary(tmp_path, [START, _test("PASS"), _test("SKIP"), _test("SKIP"), END], as_json=False) == 0
    assert "note skipped: probe::t and 1 more: why" in capsys.readouterr().out
    assert summary(tmp_path, [START, _test("SKIP"), END], as_json=False) == 4
    assert "ERROR nothing ran" in capsys.readouterr().out


def test_of_terminations_those_are_counted_that_were_faulty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An iteration that fails for another reason counts as one."""

    def iteration(number: int, outcome: str, faulty: int, *, broken: bool = False) -> dict[str, Any]:
        return {
            "event": "iteration",
            "id": f"i{number}",
            "workload": "w",
            "role": "claim",
            "outcome": outcome,
            "blame": "kernel" if outcome == "FAIL" else None,
            "message": "why",
            "terminations": 20,
            "faulty": faulty,
            "declared": ["mmu-fault"],
            "kinds": ["mmu-fault"] if faulty else [],
            "signatures": [],
            "program_failed": broken,
            "findings": [],
        }

    ran = [iteration(1, "FAIL", 5), iteration(2, "PASS", 0), iteration(3, "FAIL", 0, broken=True)]
    assert summary(tmp_path, [START, *ran, END], as_json=False) == 1
    assert "6/60 failed" in capsys.readouterr().out
