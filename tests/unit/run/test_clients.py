# SPDX-License-Identifier: GPL-2.0-or-later
"""A compositor that ends well whatever became of its client hides nothing of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from panthorlab.run.clients import under_weston

ENDS_WELL = 'while [ "$1" != -- ]; do shift; done; shift; "$@"; exit 0\n'  # as weston does
STARTS_NOTHING = "exit 0\n"
FAILS = 'while [ "$1" != -- ]; do shift; done; shift; "$@"; exit 3\n'


def run(tmp_path: Path, compositor: str, *client: str) -> subprocess.CompletedProcess[str]:
    """What `under_weston` gives, here, with `compositor` in weston's place."""
    program = tmp_path / "weston"
    program.write_text(f"#!/bin/sh\n{compositor}")
    program.chmod(0o755)
    shell, option, script, *rest = under_weston(*client)
    script = script.replace("/usr/bin/weston", str(program)).replace("/run/", f"{tmp_path}/")
    return subprocess.run([shell, option, script, *rest], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("status", [0, 1, 7, 134])
def test_the_clients_status_is_told(tmp_path: Path, status: int) -> None:
    assert run(tmp_path, ENDS_WELL, "/bin/sh", "-c", f"exit {status}").returncode == status
    assert not list(tmp_path.glob("under-weston.*"))


def test_the_client_gets_its_arguments_as_they_are(tmp_path: Path) -> None:
    done = run(tmp_path, ENDS_WELL, "printf", "%s|", "two words", "$HOME", "", "a'b\"c")
    assert done.stdout == "two words|$HOME||a'b\"c|"


def test_a_client_that_never_ran_has_not_ended_well(tmp_path: Path) -> None:
    assert run(tmp_path, STARTS_NOTHING, "true").returncode != 0


def test_a_compositor_that_fails_is_heard(tmp_path: Path) -> None:
    assert run(tmp_path, FAILS, "true").returncode == 3
