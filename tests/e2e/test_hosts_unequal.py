# SPDX-License-Identifier: GPL-2.0-or-later
"""A host whose panthorlab or QEMU is another one is refused, with what differs, before anything boots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from panthorlab.board.emulated.qemu import PROGRAM
from panthorlab.paths import PACKAGE
from tests.loopback_hosts import loopback_hosts

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
OTHER_QEMU = '#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version 99.1.2" || echo x-msg-timeout\n'


def other_panthorlab(folder: Path) -> dict[str, str]:
    """The environment of a worker whose GPU model has one more line, which does nothing."""
    shutil.copytree(PACKAGE, folder / "panthorlab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("suites", "board_configs", "kernel_configs"):
        (folder / name).symlink_to(PACKAGE.parent / name)
    with (folder / "panthorlab/gpu/__init__.py").open("a") as file:
        file.write("# one more line\n")
    return {"PYTHONPATH": str(folder)}


def other_suites(folder: Path) -> dict[str, str]:
    """The environment of a worker with all the same code, but for a suite."""
    shutil.copytree(PACKAGE, folder / "panthorlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "suites", folder / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("board_configs", "kernel_configs"):
        (folder / name).symlink_to(PACKAGE.parent / name)
    with (folder / "suites/test_probe.py").open("a") as file:
        file.write("# one more line\n")
    return {"PYTHONPATH": str(folder)}


def other_qemu(folder: Path) -> dict[str, str]:
    """The environment of a worker with another QEMU on its PATH."""
    (folder / PROGRAM).write_text(OTHER_QEMU)
    (folder / PROGRAM).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (other_panthorlab, "the GPU model: gpu/__init__.py is another one"),
        (other_suites, "would be others than here: the suites: test_probe.py is another one\n"),
        (other_qemu, "QEMU: 99.1.2 there, "),
    ],
    ids=["panthorlab", "suites", "qemu"],
)
def test_a_host_that_differs_is_refused(
    cli: Cli, build: Callable[[Sequence[str]], str], tmp_path: Path, other: Callable[[Path], dict[str, str]], what: str
) -> None:
    (tmp_path / "other").mkdir()
    with loopback_hosts(tmp_path, 2, {1: other(tmp_path / "other")}) as lab:
        asked = ("run", "--kernel", build([]), "--suite", "probe", "--output", tmp_path / "run")
        done = cli(*asked, "--hosts", lab.address)
    assert done.exit == 4
    assert "boots on tcp://127.0.0.1:" in done.stderr
    assert what in done.stderr
    assert "install the same panthorlab" in done.stderr
    assert not (tmp_path / "run").exists()
