# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots beside the plain ones: own parameters of the GPU, what takes long, debug kernels. And that faults are heard."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import PATCHES, Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

SUITE = """
import pytest
@pytest.mark.gpu("tiler.chunks_per_job=1")
def test_chunks(session):
    assert session.gpu_param("tiler.chunks_per_job") == "1"
    session.job("store")
@pytest.mark.deep
def test_long(session):
    assert session.gpu_param("tiler.chunks_per_job") is None
@pytest.mark.kernel("kasan")
def test_memory(session): raise AssertionError("this kernel has no KASAN")
"""
DEAF = """
from panthorlab.outcome import Role
from panthorlab.run.workload import Workload
def test_store(session, iterate):
    session.inject("irq-lost,line=mmu,times=0")
    iterate(Workload("gpu-job/store", ("gpu-job", "--mode", "store"), Role.CONTROL, iterations=2)).expect_clean()
"""

DOUBTFUL = """
import pytest
def test_once(session):  # as on a machine that is too busy once
    assert session.job_description.slot != "after1"
def test_other(session): pass
@pytest.mark.gpu("tiler.chunks_per_job=1")
def test_always(session):
    assert session.job_description.arm != "after"
"""


def test_each_test_runs_where_its_needs_are_met_or_is_told(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_needs.py").write_text(SUITE)
    done = cli(
        "run", "--kernel", f"{run_dir}:after", "--deep", "--suite", f"{tmp_path}/suites", "--output", tmp_path / "run"
    )
    assert done.exit == 0, done.stderr
    assert {test["test"] for test in done.json["tests"]} == {"test_chunks [tiler.chunks_per_job=1]", "test_long [deep]"}
    assert set(done.json["not_run"]) == {"needs::test_memory"}
    assert "kasan" in done.json["not_run"]["needs::test_memory"]


def test_counts_are_worth_nothing_where_no_fault_would_be_heard(cli: Cli, run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "test_deaf.py").write_text(DEAF)
    done = cli(
        "run",
        "--kernel",
        f"{run_dir}:after",
        "--suite",
        tmp_path / "test_deaf.py",
        "--boots",
        "1",
        "--output",
        tmp_path / "run",
    )
    assert done.exit == 1, done.stderr
    assert done.json["workloads"]["gpu-job/store"]["failed"] == 0
    assert [test["outcome"] for test in done.json["tests"] if test["test"] == "faults_are_heard"] == ["FAIL"]


def test_what_fails_in_one_boot_runs_in_more_of_both_sides_and_then_decides(
    cli: Cli, run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_doubtful.py").write_text(DOUBTFUL)

    def validate(name: str, *options: str) -> tuple[int, dict[str, tuple[str, str]]]:
        done = cli(
            "validate",
            "--before",
            f"{run_dir}:before",
            "--after",
            f"{run_dir}:after",
            "--expect",
            "no-change",
            "--suite",
            tmp_path / "test_doubtful.py",
            *options,
            "--output",
            tmp_path / name,
        )
        assert done.json is not None, done.stderr
        return done.exit, {
            test["name"].rpartition("::")[2]: (test["verdict"], test["reason"]) for test in done.json["tests"]
        }

    status, tests = validate("run")
    assert (status, tests["test_always [tiler.chunks_per_job=1]"][0]) == (1, "regressed")
    assert tests["test_once"] == ("inconclusive", tests["test_once"][1])
    assert "in 1 of 4 boots of after and in 0 of 4 of before" in tests["test_once"][1]
    assert tests["test_other"][0] == "clean"
    again = [path.name for path in (tmp_path / "run" / "boots").iterdir() if "again" in path.name]
    assert len(again) == 8, again


@pytest.mark.full
def test_what_only_lockdep_sees_is_seen_in_a_deep_run(cli: Cli, tmp_path: Path) -> None:
    def validate(name: str, *options: str) -> tuple[int, dict[str, str]]:
        done = cli(
            "validate",
            PATCHES / "fence-lock.patch",
            "--expect",
            "no-change",
            "--suite",
            "fence-lock",
            "--suite",
            "probe",
            *options,
            "--output",
            tmp_path / name,
        )
        return done.exit, {variant["name"]: variant["verdict"] for variant in done.json["variants"]}

    assert validate("plain") == (0, {})
    assert validate("deep", "--deep") == (1, {"debug": "regressed"})
