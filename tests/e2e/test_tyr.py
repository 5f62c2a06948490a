# SPDX-License-Identifier: GPL-2.0-or-later
"""Tyr, the Rust driver, from unmodified sources: it is built and booted, and all that it can do is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.kernel.driver import TYR, driver_of
from panthorlab.kernel.store import load
from panthorlab.kmsg import scan_bytes

from .conftest import PATCHES, Cli

pytestmark = [pytest.mark.e2e, pytest.mark.full]

BASE = "debian:7.3.4"
GAVE_UP = "probe with driver tyr failed with error -110"
SUITES = ("probe", "unplug", "unplug-trouble", "firmware-images")


@pytest.fixture(scope="module")
def key(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> str:
    done = cli("build", "--driver", "tyr", "--base", BASE, "--output", tmp_path_factory.mktemp("tyr"))
    assert done.exit == 0, done.stderr
    return str(done.json["base"]["key"])


def test_it_is_tried(cli: Cli, key: str, tmp_path: Path) -> None:
    """Probe, unbind and rebind, a GPU that fails in the probe, crafted firmware; the rest is told as not run."""
    kernel = load(key)
    assert kernel is not None
    assert driver_of(kernel) is TYR
    names = [word for suite in SUITES for word in ("--suite", suite)]
    done = cli("run", "--kernel", key, "--driver", "tyr", *names, "--boots", "1", "--output", tmp_path / "run")
    assert done.exit == 0, done.stderr
    results = {f"{test['suite']}::{test['test']}": test["outcome"] for test in done.json["tests"]}
    assert {test["suite"].replace("_", "-") for test in done.json["tests"]} == set(SUITES)
    assert set(results.values()) <= {"PASS", "SKIP"}
    assert results["probe::test_render_node_answers"] == results["unplug::test_idle"] == "PASS"
    assert "wants a driver that can do vm, groups" in done.json["not_run"]["unplug::test_held"]
    assert "csif" in done.json["not_run"]["probe::test_interface_is_told"]


def test_what_it_cannot_do_is_refused(cli: Cli, key: str, tmp_path: Path) -> None:
    done = cli("run", "--kernel", key, "--suite", "heap-exit-claim", "--output", tmp_path / "run")
    assert done.exit == 2
    assert "wants a driver that can do vm, groups, heaps, which tyr cannot yet" in done.stderr
    done = cli("run", "--kernel", key, "--driver", "panthor", "--suite", "probe", "--output", tmp_path / "run")
    assert done.exit == 2
    assert "has the driver tyr, not panthor" in done.stderr


@pytest.mark.parametrize(
    ("param", "word"), [("mcu.boot_ms", "MCU failed to boot"), ("reset.delay_ms", "GPU reset failed")]
)
def test_a_gpu_that_is_too_slow(cli: Cli, key: str, tmp_path: Path, param: str, word: str) -> None:
    """It waits 100 ms for each, gives up with -ETIMEDOUT, and unwinds."""
    done = cli(
        "run",
        "--kernel",
        key,
        "--suite",
        "probe",
        "--param",
        f"gpu.{param}=300",
        "--boots",
        "1",
        "--output",
        tmp_path / "run",
    )
    assert done.exit == 1, done.stderr
    logs = [path.read_bytes() for path in (tmp_path / "run").rglob("console.log")]
    assert len(logs) == 2, "a boot that fails is tried once more"
    for log in logs:
        found = [finding.text for finding in scan_bytes(log)]
        told = [next((part for part in (word, GAVE_UP) if part in text), text) for text in found]
        assert told[:2] == [word, GAVE_UP]
        assert set(told) == {word, GAVE_UP}, "no oops, no warning; it may be probed again until the board is off"


def test_patches_are_validated(cli: Cli, key: str, tmp_path: Path) -> None:
    """One that lets it wait longer is clean; one with which it waits in vain is blamed."""
    del key  # built before: this is an increment
    options = ("--driver", "tyr", "--base", BASE, "--suite", "probe", "--boots", "1", "--expect", "no-change")
    done = cli("validate", PATCHES / "tyr-patience.patch", *options, "--output", tmp_path / "clean")
    assert (done.exit, done.json["verdict"]) == (0, "clean"), done.stderr
    done = cli("validate", PATCHES / "tyr-no-boot.patch", *options, "--output", tmp_path / "bad")
    assert done.exit == 1, done.stderr
