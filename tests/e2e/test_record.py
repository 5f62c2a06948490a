# SPDX-License-Identifier: GPL-2.0-or-later
"""Record what panthor does to the registers of a board, and replay it to the model: on the emulated board both are the
same model, so a difference is a fault of the recorder, of a rule, or of the stand-in for the firmware."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.mmio.main import read
from panthorlab.mmio.recording import OtherEvent

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.full]


@pytest.fixture(scope="module")
def key(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> str:
    done = cli("build", "--config", "mmio-trace", "--output", tmp_path_factory.mktemp("build"))
    assert done.exit == 0, done.stderr
    return str(done.json["base"]["key"])


def replayed(cli: Cli, file: Path) -> dict[str, int]:
    """How often each register was compared. There must be no difference."""
    done = cli("replay-trace", file)
    assert done.exit == 0, done.json or done.stderr
    assert done.json["whole"]
    return dict(done.json["registers"])


def test_probe_and_a_job(cli: Cli, key: str, tmp_path: Path) -> None:
    file = tmp_path / "job.jsonl.xz"
    done = cli("record", "--kernel", key, "-o", file, "--output", tmp_path / "run")
    assert done.exit == 0, done.stderr
    assert (done.json["findings"], done.json["holes"]) == ([], [])
    compared = replayed(cli, file)
    assert {"GPU_ID", "AS_PRESENT", "L2_READY_LO", "AS0_STATUS", "AS1_STATUS", "JOB_INT_RAWSTAT"} <= compared.keys()
    recording = read(file)
    assert recording.head.driver == "panthor"
    assert any(isinstance(line, OtherEvent) and "panthor-job" in line.text for line in recording.lines)
    assert [step for step in recording.steps if step.write and step.offset == 0x700]


def test_a_suite_that_resets(cli: Cli, key: str, tmp_path: Path) -> None:
    file = tmp_path / "reset.jsonl"
    done = cli("record", "--kernel", key, "--suite", "reset", "-o", file, "--output", tmp_path / "run")
    assert done.exit == 0, done.stderr
    assert replayed(cli, file)["GPU_INT_RAWSTAT"] > 2
    assert [step for step in read(file).steps if step.write and step.offset == 0x30 and step.value & 0xFF == 1]


def test_a_driver_that_is_bound_anew(cli: Cli, key: str, tmp_path: Path) -> None:
    """Its registers are mapped elsewhere then."""
    file = tmp_path / "bind.jsonl.gz"
    command = ("gpu-bind", "--mode", "idle", "--count", "2")
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "panthorlab", "record", "--kernel", key, "-o", str(file), "--output", str(run)]
    subprocess.run([*argv, "--", *command], check=True, timeout=600)
    assert replayed(cli, file)["GPU_ID"] >= 3


def test_what_the_gpu_did_wrong_is_found(cli: Cli, key: str, tmp_path: Path) -> None:
    """The suite has the GPU lose flushes and leave MMU commands stuck; the model that is fed does neither."""
    file = tmp_path / "trouble.jsonl"
    done = cli("record", "--kernel", key, "--suite", "gpu-trouble", "-o", file, "--output", tmp_path / "run")
    assert done.exit == 0, done.stderr
    done = cli("replay-trace", file)
    assert done.exit == 3
    found = {one["register"]: one for one in done.json["differences"]}
    assert all(name.endswith("STAT") or name.startswith("AS") for name in found), found.keys()
    assert found["GPU_INT_RAWSTAT"]["fields"] == [{"name": "clean_caches_completed", "board": 0, "model": 1}]
