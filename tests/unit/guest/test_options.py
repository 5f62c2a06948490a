# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the programs for the board: what is taken, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Compile = Callable[..., Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(compile_guest: Compile) -> Run:
    program = compile_guest("options", [Path(__file__).with_name("options_main.c"), "options.c"])

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *options], capture_output=True, text=True, timeout=60, check=False)

    return call


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ((), " 7 0"),
        (("--mode", "once", "--count", "100", "--hang"), "once 100 1"),
        (("--count=1", "--mode=a b"), "a b 1 0"),
        (("--device", "1", "--mode", "once"), "once 7 0 GPU 1"),
    ],
)
def test_values_are_taken_and_what_is_not_given_stays(run: Run, options: tuple[str, ...], values: str) -> None:
    done = run(*options)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{values}\n", "")


@pytest.mark.parametrize("count", ["0", "101", "", "-1", " 5", "+5", "5x", "0x5", "4294967301", "9" * 40])
def test_a_number_that_is_none_or_out_of_range_is_refused(run: Run, count: str) -> None:
    done = run("--count", count)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"options: --count {count}: not a number from 1 to 100\n"


@pytest.mark.parametrize("device", ["8", "", "-1", "1x"])
def test_a_device_that_cannot_be_is_refused(run: Run, device: str) -> None:
    done = run("--device", device)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"options: --device {device}: not a number from 0 to 7\n"


@pytest.mark.parametrize("options", [("--wrong",), ("--mode",), ("--hang=1",), ("more",)])
def test_anything_else_is_refused_with_a_sentence(run: Run, options: tuple[str, ...]) -> None:
    done = run(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_help_is_no_error(run: Run) -> None:
    done = run("--help")
    assert (done.returncode, done.stdout, done.stderr) == (0, "usage: options\n", "")


@pytest.mark.parametrize(("mode", "value"), [("one", "11"), ("two", "22"), ("twofold", "33")])
def test_a_mode_is_chosen_by_its_whole_name(run: Run, mode: str, value: str) -> None:
    done = run("--choose", mode)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{value}\n", "")


@pytest.mark.parametrize("mode", ["", "on", "ones", "ONE", "three"])
def test_a_mode_that_there_is_not_is_refused(run: Run, mode: str) -> None:
    done = run("--choose", mode)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: options\n")
