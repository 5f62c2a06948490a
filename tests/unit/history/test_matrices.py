# SPDX-License-Identifier: GPL-2.0-or-later
"""`compare` of two matrices, and `--fail-on-worse`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab import cli
from panthorlab.outcome import Outcome
from tests.made_runs import ALONE, MadeRun, write_run

GOOD = replace(ALONE, rates={"heap-exit/exit": {"kernel": (0, 50)}, "heap-exit/clients": {"kernel": (10, 40)}})


def matrix(folder: Path, kernels: Mapping[str, MadeRun], **asked: object) -> Path:
    for release, run in kernels.items():
        write_run(folder / release.replace(".", ""), replace(run, release=release))
    (folder / "matrix.json").write_text(json.dumps({"suite": ["heap-exit"], "iterations": 40, **asked}))
    return folder


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    status = cli.main(["compare", *map(str, arguments), "--json"])
    made = json.loads(capsys.readouterr().out)
    assert isinstance(made, dict)
    return status, made


def test_a_queue_is_compared_with_the_last_releases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = replace(GOOD, rates={**GOOD.rates, "heap-exit/exit": {"kernel": (20, 50)}})
    old = matrix(tmp_path / "old", {"6.12.117": GOOD, "6.18.5": GOOD, "6.6.1": GOOD, "7.0.1": GOOD})
    new = matrix(
        tmp_path / "new", {"6.12.118-rc1": GOOD, "6.18.6-rc2": bad, "7.0.1": GOOD, "7.1.0": GOOD}, iterations=80
    )
    status, made = compared(capsys, old, new)
    assert status == 0
    kernels = {one["name"]: one for one in made["kernels"]}
    assert set(kernels) == {"7.0.1", "6.12.117 → 6.12.118-rc1", "6.18.5 → 6.18.6-rc2"}
    (changed,) = kernels["6.18.5 → 6.18.6-rc2"]["rates"]
    assert (changed["name"], changed["change"]) == ("heap-exit/exit", "more")
    assert kernels["7.0.1"]["rates"] == kernels["6.12.117 → 6.12.118-rc1"]["rates"] == []
    assert (made["only_old"], made["only_new"]) == (["6.6.1"], ["7.1.0"])
    assert made["settings"] == [{"what": "iterations", "old": "40", "new": "80"}]

    assert cli.main(["compare", str(old), str(new)]) == 0
    out = capsys.readouterr().out
    assert "asked for something else: iterations: 40 → 80" in out
    assert "== 6.18.5 → 6.18.6-rc2\n" in out
    assert "in the new matrix alone: 7.1.0" in out
    assert compared(capsys, old, new, "--fail-on-worse")[0] == 4, "6.6.y was not tested: that is no pass"


def test_two_kernels_of_one_series_are_not_mixed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = matrix(tmp_path / "old", {"6.12.116": GOOD, "6.12.117": GOOD})
    new = matrix(tmp_path / "new", {"6.12.117": GOOD, "6.12.118-rc1": GOOD})
    _, made = compared(capsys, old, new)
    assert [one["name"] for one in made["kernels"]] == ["6.12.117", "6.12.116 → 6.12.118-rc1"]
    both = matrix(tmp_path / "both", {"6.12.118-rc1": GOOD, "6.12.119-rc1": GOOD})
    _, made = compared(capsys, old, both)
    assert made["kernels"] == []
    assert compared(capsys, old, both, "--fail-on-worse")[0] == 4, "nothing was compared"
    (one, other) = (matrix(tmp_path / name, {name: GOOD}) for name in ("6.1.1", "7.2.0"))
    assert [one["name"] for one in compared(capsys, one, other)[1]["kernels"]] == ["6.1.1 → 7.2.0"]


NEW_SIGNATURE = replace(GOOD, stray=("oops:panthor:x",))
TESTS_FAIL = replace(GOOD, tests={"reset::test_reset": {"kernel": Outcome.FAIL}})
RATES: Mapping[str, Mapping[str, tuple[int, int]]] = GOOD.rates


@pytest.mark.parametrize(
    ("new", "status"),
    [
        pytest.param(GOOD, 0, id="the same"),
        pytest.param(
            replace(GOOD, rates={**RATES, "heap-exit/clients": {"kernel": (12, 40)}}), 0, id="a rate that swings"
        ),
        pytest.param(replace(GOOD, rates={**RATES, "heap-exit/exit": {"kernel": (20, 50)}}), 1, id="more"),
        pytest.param(NEW_SIGNATURE, 1, id="a new signature"),
        pytest.param(TESTS_FAIL, 3, id="too few to tell"),
        pytest.param(replace(GOOD, lost=1), 4, id="lost iterations"),
        pytest.param(replace(NEW_SIGNATURE, ended=False), 4, id="not ended"),
        pytest.param(replace(GOOD, rates={"heap-exit/exit": {"kernel": (0, 50)}}), 4, id="something did not run"),
        pytest.param(replace(GOOD, rates={**RATES, "heap-exit/new": {"kernel": (0, 50)}}), 0, id="something more ran"),
    ],
)
def test_what_is_worse_decides_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new: MadeRun, status: int
) -> None:
    then, now = write_run(tmp_path / "then", GOOD), write_run(tmp_path / "now", new)
    assert compared(capsys, then, now, "--fail-on-worse")[0] == status
    assert compared(capsys, then, now)[0] == 0
    old, queue = matrix(tmp_path / "old", {"6.12.117": GOOD}), matrix(tmp_path / "new", {"6.12.118": new})
    assert compared(capsys, old, queue, "--fail-on-worse")[0] == status


def test_what_is_no_matrix_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = matrix(tmp_path / "one", {"6.12.117": GOOD})
    run = write_run(tmp_path / "run", GOOD)
    assert cli.main(["compare", str(one), str(run)]) == 2
    assert "one is a matrix" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "matrix.json").write_text("{}")
    assert cli.main(["compare", str(one), str(empty)]) == 2
    for content in ("[]", "no JSON", ""):
        (one / "matrix.json").write_text(content)
        assert cli.main(["compare", str(one), str(one)]) == 4
