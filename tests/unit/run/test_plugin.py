# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites by plain pytest: what is left out, what is skipped and why, all without a boot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.kernel.build.config import find_fragments
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Outcome
from panthorlab.run.needs import lacking
from panthorlab.run.record import BootEnd
from panthorlab.run.record.versions import event_of
from tests.unit.run.workers import ROOT, job_on, work

SUITE = """
import pytest
def test_quick(): pass
@pytest.mark.deep
def test_long(): pass
@pytest.mark.gpu("tiler.chunks_per_job=1")
def test_chunks(session): raise AssertionError("booted")
@pytest.mark.board("rock-5b")
def test_rock(session): raise AssertionError("booted")
"""


def _pytest(folder: Path, *arguments: str) -> str:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "panthorlab.run.plugin",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--strict-markers",
        "-rA",
        "--board",
        "qemu-g610",
        "--kernel",
        "none",
        *arguments,
    ]
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(SUITE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ((), False),
        ((".",), False),
        (("test_mine.py",), True),
        (("test_mine.py::test_long",), True),
        (("--deep",), True),
        ((".", "-m", "deep"), True),
        (("test_mine.py", "--own-status"), False),
    ],
)
def test_deep_tests_run_if_they_are_asked_for(folder: Path, arguments: tuple[str, ...], runs: bool) -> None:
    said = _pytest(folder, *arguments, "-k", "long or quick")
    assert ("PASSED test_mine.py::test_long" in said) == runs, said


def test_what_does_not_fit_is_skipped_with_what_would(folder: Path) -> None:
    said = _pytest(folder, "test_mine.py")
    assert "wants --param gpu.tiler.chunks_per_job=1" in said
    assert "is for boards that are rock-5b" in said
    assert "booted" not in said


@pytest.mark.parametrize(
    ("done", "end"), [(("mine::test_dies",), (True, False, Outcome.PASS)), ((), (False, False, Outcome.ERROR))]
)
def test_after_a_boot_that_died_in_its_last_test_none_is_needed(
    tmp_path: Path, done: tuple[str, ...], end: tuple[bool, bool, Outcome]
) -> None:
    """Or what the kernel has done would be called a failure of the lab. The board of this job does not exist."""
    suite = tmp_path / "test_mine.py"
    suite.write_text("def test_dies(session): pass\n")
    tests = {"done_tests": done, "tests": ("mine::test_dies",)}
    _, events = work(job_on(suite, board="no-such-board", boot="kernel1.2", **tests))
    ends = [event for one in events if isinstance(event := event_of(one), BootEnd)]
    assert [(one.complete, one.booted, one.outcome) for one in ends] == [end]


def test_the_config_decides_which_fragments_a_kernel_has(tmp_path: Path) -> None:
    kernel = Kernel("k", tmp_path, "arm64", "6.12", "b", "t", fragments=("panthor",))
    lines = find_fragments(["kasan"])[0].read_text() + find_fragments(["ubsan"])[0].read_text()
    (tmp_path / "config").write_text(lines.replace("CONFIG_UBSAN_BOOL=y", "# CONFIG_UBSAN_BOOL is not set"))
    assert lacking(kernel, ["kasan", "ubsan", "prove-locking"]) == ("ubsan", "prove-locking")
