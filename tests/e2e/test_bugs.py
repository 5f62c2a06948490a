# SPDX-License-Identifier: GPL-2.0-or-later
"""The scoreboard on real kernels: every patch fits; a row from its build to its line of the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bug_rows import choose, load, load_mutants
from panthorlab.kernel.job import prepare_kernel
from panthorlab.kernel.patch.report import Fit

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e


def test_every_patch_fits_the_default_base_line_for_line() -> None:
    rows = [row for row in (*load().rows, *load_mutants().rows) if row.files and row.base is None]
    reports = {row.id: prepare_kernel(None, [str(row.patch)]).reports for row in rows}
    assert {name: [report.fit for report in made] for name, made in reports.items()} == {
        row.id: [Fit.APPLIES] for row in rows
    }


@pytest.mark.full
def test_every_patch_for_another_base_fits_that_line_for_line() -> None:
    rows = [row for row in choose(load(), []) if row.base is not None]
    for row in rows:
        assert [report.fit for report in prepare_kernel(row.base, [str(row.patch)]).reports] == [Fit.APPLIES], row.id


@pytest.mark.full
def test_a_row_is_shown_and_the_control_is_not(tmp_path: Path) -> None:
    argv = [sys.executable, "benchmarks/bugs.py", "--only", "00", "--only", "05", "--suite", "suites/test_vm_bind.py",
            "--results", str(tmp_path / "results.jsonl"), "--table", str(tmp_path / "page.md")]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.md").read_text()
    assert "| 05-partial-unmap-panic |" in page
    assert "| shown | vm_bind::" in page
    assert "control `00-control-harmless` (calls a helper that is always true): clean, as it must be" in page
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    again = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == len(records), "nothing was left to run"
