# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, whole: builds, boots, runs and judges, as a user would."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from panthorlab.outcome import Outcome
from panthorlab.run.record import BoardUp, BootStep
from panthorlab.run.record.log import read_run

from .conftest import PATCHES, Cli, Done

pytestmark = pytest.mark.e2e

CLAIM = ("--suite", "heap-exit-claim")
Build = Callable[[Sequence[str]], str]


def test_default_job_is_fixed(default_run: Done) -> None:
    result = default_run.json
    assert default_run.exit == 0, default_run.stderr
    assert result["verdict"] == "fixed"
    before, after = result["sides"]["before"], result["sides"]["after"]
    assert before["interval"][0] > 0.8
    assert after["faulty"] == 0
    assert after["iterations"] >= 400
    assert before["boots"] >= 2
    assert after["boots"] >= 2
    assert before["build_id"] != after["build_id"]
    assert result["missable_rate"] <= 0.02
    assert result["p_fewer"] < 0.001


def test_default_job_with_all_suites_is_fixed(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    """What the README's first command says, and that no test fails on a kernel without a known fault."""
    kernels = ("--before", f"{run_dir}:before", "--after", f"{run_dir}:after")
    done = cli("validate", *kernels, "--output", tmp_path / "run")
    assert (done.exit, done.json["verdict"]) == (0, "fixed"), done.stderr
    assert not [test for test in done.json["tests"] if test["after"] in ("FAIL", "ERROR")]


def test_default_job_measures_the_lines_of_the_driver_and_of_the_patch(default_run: Done) -> None:
    coverage = default_run.json["coverage"]
    assert coverage["before"]["functions"] > 150
    assert coverage["after"]["functions"] > 150
    patch = coverage["after"]["patch"]
    assert patch["ran"] == patch["lines"] > 0, "the fix has run"


def test_default_job_reports_the_residual_of_concurrent_clients(default_run: Done) -> None:
    clients = [item for item in default_run.json["workloads"] if item["name"] == "heap-exit/clients"]
    assert clients[0]["sides"]["after"]["iterations"] >= 300
    assert [item for item in default_run.json["residual"] if item["name"] == "heap-exit/clients"]


def test_default_job_decodes_faults_and_their_owner(default_run: Done) -> None:
    faults = [finding for finding in default_run.json["findings"] if finding["kind"] == "mmu-fault"]
    claims = [finding for finding in faults if finding["owner"] == "heap context"]
    assert len(claims) > 300
    assert claims[0]["access"] == "WRITE"
    assert claims[0]["exception"] == "TRANSLATION_FAULT_3"


def test_default_job_traces_every_step_of_every_boot(run_dir: Path) -> None:
    events = read_run(run_dir)
    boots = [event.boot for event in events if isinstance(event, BoardUp)]
    for boot in boots:
        steps = [event for event in events if isinstance(event, BootStep) and event.boot == boot]
        assert [step.name for step in steps] == ["load", "power", "handover", "shell", "driver", "identity"]
        assert {step.outcome for step in steps} == {Outcome.PASS}
    assert len(boots) >= 4


def test_default_job_writes_junit_and_html(run_dir: Path) -> None:
    root = ET.parse(run_dir / "junit.xml").getroot()  # noqa: S314 - we wrote it
    assert not root.findall(".//failure"), "expected faults of *before* are properties"
    assert "heap-exit/exit" in (run_dir / "report.html").read_text()


def test_kernels_in_the_store_are_not_built_again(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    again = cli("validate", *CLAIM, "--iterations", "30", "--output", tmp_path / "run")
    assert again.json["sides"]["after"]["kernel"] == (cli("report", run_dir).json)["sides"]["after"]["kernel"]
    log = tmp_path / "run" / "build.log"
    assert not log.exists() or " CC " not in log.read_text()


@pytest.mark.wide
def test_few_iterations_are_inconclusive_not_fixed(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    done = cli(
        "validate", "--before", f"{run_dir}:before", "--after", f"{run_dir}:after", *CLAIM, "--iterations", "20",
        "--output", tmp_path / "run",
    )  # fmt: skip
    assert (done.exit, done.json["verdict"]) == (3, "inconclusive")


def test_swapped_sides_are_regressed(cli: Cli, tmp_path: Path) -> None:
    done = cli("validate", "--swap", *CLAIM, "--iterations", "60", "--output", tmp_path / "run")
    assert (done.exit, done.json["verdict"]) == (1, "regressed")
    failures = ET.parse(tmp_path / "run" / "junit.xml").getroot().findall(".//failure")  # noqa: S314
    assert failures


def test_comment_only_patch_is_unchanged(cli: Cli, tmp_path: Path) -> None:
    done = cli("validate", PATCHES / "comment-only.patch", "--output", tmp_path / "run")
    assert (done.exit, done.json["verdict"]) == (3, "unchanged")
    expected = cli("validate", PATCHES / "comment-only.patch", "--expect", "no-change", "--output", tmp_path / "again")
    assert (expected.exit, expected.json["verdict"]) == (0, "unchanged")


def test_patch_from_stdin_that_breaks_the_build_is_regressed(cli: Cli, tmp_path: Path) -> None:
    patch = (PATCHES / "syntax-error.patch").read_bytes()
    done = cli("validate", "-", "--output", tmp_path / "run", stdin=patch)
    assert (done.exit, done.json["verdict"]) == (1, "regressed")
    assert any("flush_wrok" in reason or "panthor_sched" in reason for reason in done.json["reasons"])


@pytest.mark.wide
def test_no_change_expected_and_none_seen_is_clean(cli: Cli, build: Build, run_dir: Path, tmp_path: Path) -> None:
    done = cli(
        "validate", "--before", f"{run_dir}:after", "--after", build(["renamed"]), *CLAIM, "--iterations", "30",
        "--expect", "no-change", "--output", tmp_path / "run",
    )  # fmt: skip
    assert (done.exit, done.json["verdict"]) == (0, "clean")


@pytest.mark.wide
def test_plain_pytest_runs_the_suites(run_dir: Path) -> None:
    suites = Path(__file__).parents[2] / "suites"
    argv = [
        sys.executable, "-m", "pytest", "-q", str(suites / "test_probe.py"), str(suites / "test_heap_exit_claim.py"),
        "--board", "qemu-g610", "--kernel", f"{run_dir}:after", "--iterations", "5",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, cwd=suites.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    argv[argv.index(f"{run_dir}:after")] = f"{run_dir}:before"
    assert subprocess.run(argv, capture_output=True, timeout=300, check=False, cwd=suites.parent).returncode == 1
