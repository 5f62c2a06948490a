# SPDX-License-Identifier: GPL-2.0-or-later
"""The suite that unloads the driver: it passes on the base, and sees what a driver leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import PATCHES, Cli

pytestmark = [pytest.mark.e2e, pytest.mark.full]  # a kernel of its own

LEFT = {
    "module-kept": "unload panthor, which has 2 references",
    "power-kept": "the GPU's clock still runs: clk_prepare_count is 1",
    "device-kept": "the device before was not freed",
    "memory-kept": "KiB lost in 12 rounds",
}


def failures(cli: Cli, output: Path, *patches: Path) -> dict[str, str]:
    """What the tests of the suite say that fail, on the base with `patches`."""
    built = cli("build", *patches, "--config", "panthor-module", "--output", output / "build")
    assert built.exit == 0, built.stderr
    key = built.json["after" if patches else "base"]["key"]
    done = cli("run", "--kernel", key, "--suite", "deep-module", "--boots", "1", "--output", output / "run")
    assert done.json is not None, done.stderr
    assert len(done.json["tests"]) == 7, done.json["not_run"]
    return {test["test"]: test["message"] for test in done.json["tests"] if test["outcome"] == "FAIL"}


def test_nothing_is_left_of_the_base(cli: Cli, tmp_path: Path) -> None:
    assert failures(cli, tmp_path) == {}


@pytest.mark.parametrize("patch", LEFT)
def test_what_is_left_is_seen(cli: Cli, tmp_path: Path, patch: str) -> None:
    assert LEFT[patch] in failures(cli, tmp_path, PATCHES / f"{patch}.patch")["test_after_work"]


def test_a_shared_buffer_can_keep_it_loaded(cli: Cli, tmp_path: Path) -> None:
    """With the fix of docs/findings/0035 no test is left out."""
    fix = Path(__file__).parents[2] / "docs/findings/0035-module-owner.patch"
    assert failures(cli, tmp_path, fix) == {}
