# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites that need an overlay: a worker without it leaves them out and says so, plain pytest skips them, in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from panthorlab.run import overlay_need
from tests.unit.run import workers

SUITE = """\
import pytest

@pytest.mark.overlay("igt")
def test_needs(): pass

@pytest.mark.overlay("igt")
def test_needs_too(): pass
"""
PLAIN = "\ndef test_plain(): pass\n"


def work(tmp_path: Path, text: str, overlay: Path | None = None) -> tuple[int, list[dict[str, Any]]]:
    suite = tmp_path / "test_x.py"
    suite.write_text(text)
    return workers.work(workers.job_on(suite, overlay=str(overlay) if overlay else None))


def test_what_needs_an_overlay_is_left_out_and_told(tmp_path: Path) -> None:
    status, events = work(tmp_path, SUITE + PLAIN)
    assert status == 0
    (note,) = [event["text"] for event in events if event["event"] == "note"]
    assert note.startswith("2 tests did not run")
    assert "--overlay igt" in note
    assert [event["test"] for event in events if event["event"] == "test"] == ["test_plain"]


def test_a_run_of_nothing_else_is_an_error(tmp_path: Path) -> None:
    status, events = work(tmp_path, SUITE)
    assert status == 4
    (end,) = [event for event in events if event["event"] == "boot-end"]
    assert (end["outcome"], end["final"]) == ("ERROR", True)
    assert "--overlay igt" in end["reason"]


def test_any_directory_that_has_what_the_overlay_has_will_do(tmp_path: Path) -> None:
    overlay = tmp_path / "mine"
    (overlay / "igt").mkdir(parents=True)
    status, events = work(tmp_path, SUITE, overlay)
    assert status == 0
    assert [event["test"] for event in events if event["event"] == "test"] == ["test_needs", "test_needs_too"]


@pytest.mark.parametrize("marker", ['overlay("nix")', "overlay", 'overlay("igt", "shell")'])
def test_a_marker_that_makes_no_sense_is_refused(tmp_path: Path, marker: str) -> None:
    status, events = work(tmp_path, f"import pytest\n\n@pytest.mark.{marker}\ndef test_x(): pass\n")
    assert status not in (0, 5)
    assert not [event for event in events if event["event"] == "test"]


def test_plain_pytest_says_how_to_run_it(tmp_path: Path) -> None:
    suite = tmp_path / "test_x.py"
    suite.write_text(SUITE)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "panthorlab.run.plugin",
        "-c",
        os.devnull,
        "--noconftest",
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
        str(suite),
        "--board",
        "qemu-g610",
        "--kernel",
        "x",
    ]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert "2 skipped" in done.stdout
    assert "--overlay igt" in done.stdout


def test_all_that_tells_an_overlay_must_be_there(tmp_path: Path) -> None:
    assert not overlay_need.is_in(None, "mesa-vulkan")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/vulkaninfo").touch()
    assert not overlay_need.is_in(tmp_path, "mesa-vulkan")
    (tmp_path / "usr/bin/vkmark").symlink_to("/nowhere/on/this/host")
    assert overlay_need.is_in(tmp_path, "mesa-vulkan")
