# SPDX-License-Identifier: GPL-2.0-or-later
"""A host whose panthorlab or QEMU is another one is refused, with what differs, before anything boots; so is one that
comes while a run goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from panthorlab.board.emulated.qemu import PROGRAM
from panthorlab.paths import PACKAGE
from panthorlab.run.record import BootEnd, Note, Tested
from tests.loopback_hosts import loopback_hosts

from .conftest import HOUR, Cli
from .running import Running

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
        (other_qemu, "99.1.2"),  # there or wanted: the worker that answers first has the QEMU that is wanted
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


SUITE = """
import time
from pathlib import Path


def test_first(session):
    session.job("info")


def test_that_waits_until_it_may_end(session):
    while not Path({may_end!r}).exists():
        time.sleep(0.1)
"""


def test_one_that_differs_and_comes_late_gets_no_boot(build: Callable[[Sequence[str]], str], tmp_path: Path) -> None:
    """When a worker is killed that does one of two boots, and the other one is busy, nobody else is free."""
    kernel, may_end, run_dir = build([]), tmp_path / "may-end", tmp_path / "run"
    for name in ("mine", "hosts", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine/test_mine.py").write_text(SUITE.format(may_end=str(may_end)))
    asked = ("run", "--kernel", kernel, "--suite", tmp_path / "mine/test_mine.py", "--boots", "2", "--output", run_dir)
    with loopback_hosts(tmp_path / "hosts", 2) as lab:
        run = Running(run_dir, [*asked, "--hosts", lab.address], {})
        run.until(lambda: len(run.events(Tested)) == 2, timeout=HOUR)
        late = lab.join(other_suites(tmp_path / "other"))
        boot = run.events(Tested)[0].boot
        address = json.loads((run_dir / "boots" / boot / "host.json").read_text())["address"]
        lab.processes[address].send_signal(signal.SIGKILL)

        def refusals() -> list[str]:
            assert late not in [json.loads(file.read_text())["address"] for file in run_dir.glob("boots/*/host.json")]
            return [note.text for note in run.events(Note) if f"boots on {late} would be others" in note.text]

        run.until(refusals, timeout=HOUR)
        may_end.touch()
        assert run.wait(HOUR) == 0, run.stderr
        left = next(name for name in lab.processes if name != address)
    assert "the suites: test_probe.py is another one" in refusals()[0]
    ended = {event.boot for event in run.events(BootEnd) if event.complete}
    where = [json.loads((run_dir / "boots" / name / "host.json").read_text())["address"] for name in ended]
    assert where == [left, left]
