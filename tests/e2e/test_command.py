# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab run -- COMMAND`: COMMAND decides the exit status, and the kernel log is told whatever that is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
TRIES = 8
EXIT = ("heap-exit", "--mode", "exit")
Build = Callable[[Sequence[str]], str]


def run(kernel: object, output: Path, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "panthorlab",
        "run",
        "--kernel",
        str(kernel),
        "--output",
        str(output),
        *options,
        "--",
        *command,
    ]
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)


def test_a_fault_is_told_and_the_status_is_the_commands(run_dir: Path, tmp_path: Path) -> None:
    # The fault is a race, which a single termination loses now and then: ask until it is there.
    for attempt in range(TRIES):
        output = tmp_path / f"run-{attempt}"
        faulty = run(f"{run_dir}:before", output, *EXIT)
        assert faulty.returncode == 0
        assert "ok 1 job exit" in faulty.stdout
        assert f"run: {output}" in faulty.stderr
        faults = (output / "kmsg.log").read_text().count("Unhandled Page fault")
        assert (f"the kernel log has {faults} finding" in faulty.stderr) == bool(faults)
        assert ("mmu-fault: AS" in faulty.stderr) == bool(faults)
        if faults:
            break
    else:
        pytest.fail(f"no fault in {TRIES} runs of the kernel that has it")
    told = json.loads(run(f"{run_dir}:before", tmp_path / "json", *EXIT, options=["--json"]).stdout)
    faults = (tmp_path / "json" / "kmsg.log").read_text().count("Unhandled Page fault")
    assert [finding["kind"] for finding in told["findings"]] == ["mmu-fault"] * faults
    assert (told["exit"], told["findings_exit"], told["holes"]) == (0, int(faults > 0), [])


@pytest.mark.wide
def test_every_emulated_board_has_a_shell(run_dir: Path, tmp_path: Path) -> None:
    said = run(f"{run_dir}:after", tmp_path / "run", "sh", "-c", "ls /dev/dri && exit 7", options=["--quiet"])
    assert said.returncode == 7, said.stderr
    assert "renderD128" in said.stdout


@pytest.mark.wide
def test_a_good_kernel_has_nothing_to_tell(run_dir: Path, tmp_path: Path) -> None:
    good = run(f"{run_dir}:after", tmp_path / "run", *EXIT, options=["--quiet"])
    assert good.returncode == 0
    digest, where = good.stderr.splitlines()
    assert digest.startswith("digest of this run: ")
    assert where == f"run: {tmp_path / 'run'}"
    told = json.loads(run(f"{run_dir}:after", tmp_path / "json", "/no/such/program", options=["--json"]).stdout)
    assert (told["exit"], told["findings_exit"], told["findings"], told["holes"]) == (127, 0, [], [])


@pytest.mark.wide
def test_a_command_that_hangs_on_a_crashed_kernel_is_ended(build: Build, tmp_path: Path) -> None:
    """The oops hits a process on its way out, which then never ends: only the time limit would end the wait."""
    done = run(build(["oops"]), tmp_path / "run", *EXIT, options=["--time-limit", "10m"])
    assert done.returncode == 1
    assert "the command did not end by itself after: Unable to handle kernel NULL" in done.stderr
    assert "oops: " in done.stderr
