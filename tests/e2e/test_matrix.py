# SPDX-License-Identifier: GPL-2.0-or-later
"""Several kernels side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]


def test_kernels_side_by_side_and_what_is_there_is_not_run_again(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    def matrix(*options: str) -> tuple[int, dict[str, dict[str, dict[str, object]]]]:
        done = cli(
            "matrix",
            "--kernel",
            f"{run_dir}:before",
            "--kernel",
            f"{run_dir}:after",
            *options,
            "--iterations",
            "4",
            "--boots",
            "1",
            "--output",
            tmp_path / "matrix",
        )
        assert done.json is not None, done.stderr
        return done.exit, {kernel["kernel"]: kernel["results"] for kernel in done.json["kernels"]}

    status, kernels = matrix("--suite", "heap-exit-claim")
    before, after = kernels.values()
    assert status == 1
    assert (before["heap-exit/exit"]["result"], after["heap-exit/exit"]["result"]) == ("4/4", "0/4")
    logs = {path: path.stat().st_mtime_ns for path in (tmp_path / "matrix").glob("*/events.jsonl")}
    assert len(logs) == 2
    assert matrix("--suite", "heap-exit-claim") == (status, kernels)
    assert {path: path.stat().st_mtime_ns for path in logs} == logs
    assert cli("matrix", "--kernel", f"{run_dir}:after", "--suite", "probe", "--output", tmp_path / "matrix").exit == 2
