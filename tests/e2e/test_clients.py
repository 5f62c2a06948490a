# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites of real clients, on the kernel without the fix and on the one with it: what they must see, and must not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.full]


def suite(name: str, kernel: str, overlay: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        f"suites/test_{name}.py",
        "--board",
        "qemu-g610",
        "--kernel",
        kernel,
        "--overlay",
        overlay,
        "-p",
        "no:cacheprovider",
        "-q",
        *options,
    ]
    return subprocess.run(argv, capture_output=True, text=True, timeout=1800, check=False)


def test_killed_vulkan_clients_show_the_missing_fix(run_dir: Path) -> None:
    without = suite("vulkan", f"{run_dir}:before", "mesa-vulkan", "-k", "test_killed")
    assert without.returncode == 1, without.stdout
    assert "Unhandled Page fault" in without.stdout
    fixed = suite("vulkan", f"{run_dir}:after", "mesa-vulkan", "-k", "test_killed or test_the_driver_is_found")
    assert fixed.returncode == 0, fixed.stdout


def test_gl_clients_that_end_show_the_missing_fix(run_dir: Path) -> None:
    window = ("--param", "gpu.writeout.delay_ms=20")
    without = suite("gl", f"{run_dir}:before", "mesa-gl", "-k", "test_a_client_ends or test_killed", "-rx", *window)
    assert without.returncode == 1, without.stdout
    assert "Unhandled Page fault" in without.stdout
    assert "gl/eglinfo: " in without.stdout
    fixed = suite(
        "gl", f"{run_dir}:after", "mesa-gl", "-k", "test_a_client_ends or test_killed or driver_is_found", *window
    )
    assert fixed.returncode == 0, fixed.stdout


def test_every_panthor_test_of_igt_passes(run_dir: Path) -> None:
    done = suite("igt", f"{run_dir}:after", "igt", "-k", "panthor")
    assert done.returncode == 0, done.stdout
    assert "23 passed" in done.stdout


CONTENT = """#!/bin/sh
if [ "$1" = --list-subtests ]; then echo y; exit; fi
/opt/panthorlab/gpu-job --mode {mode} >/dev/null
echo "Subtest y: SUCCESS (0.000s)"
"""
"""A test of IGT's kind that is content whatever became of its job."""


def test_what_passes_while_its_job_times_out_has_not_passed(run_dir: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "panthorlab", "overlay", "shell"]
    made = subprocess.run(argv, capture_output=True, text=True, check=True)
    overlay = shutil.copytree(made.stdout.strip(), tmp_path / "overlay", symlinks=True)
    programs = overlay / "igt/panthor"
    programs.mkdir(parents=True)
    for name, mode in (("vacuous", "spin"), ("honest", "store")):
        (programs / name).write_text(CONTENT.format(mode=mode))
        (programs / name).chmod(0o755)
    done = suite("igt", f"{run_dir}:after", str(overlay), "-k", "what_the_list")
    assert done.returncode == 1, done.stdout
    assert "panthor/vacuous@y: dmesg-warn" in done.stdout
    assert "panthor/honest@y: dmesg" not in done.stdout
