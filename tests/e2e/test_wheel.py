# SPDX-License-Identifier: GPL-2.0-or-later
"""The package as a user installs it, away from any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
ROOT = Path(__file__).parents[2]


def test_an_installed_package_finds_and_collects_its_suites(tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, ROOT], check=True, timeout=600
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "panthorlab", *arguments],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(target)},
        )

    listed = json.loads(run("suites", "--json").stdout)["suites"]
    assert {Path(suite["file"]).parent for suite in listed} == {target / "panthorlab/_data/suites"}
    assert {suite["name"] for suite in listed} == {
        file.stem.removeprefix("test_").replace("_", "-") for file in (ROOT / "suites").glob("test_*.py")
    }
    collected = run("suites", "--", "--collect-only", "-q")
    assert collected.returncode == 0, collected
    assert "test_probe.py::test_booted_kernel_is_the_built_one" in collected.stdout
