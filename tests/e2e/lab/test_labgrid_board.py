# SPDX-License-Identifier: GPL-2.0-or-later
"""A board of the virtual lab as a place of a real labgrid: switched, listened to and logged into through the place."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from panthorlab.board.real.file import RealFile
from panthorlab.board.real.rig import open_rig
from panthorlab.board.real.ssh.hostkeys import known_hosts
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.run.record import Iteration
from panthorlab.run.record.log import read_events
from tests.e2e.conftest import Cli
from tests.e2e.lab import labgrid_server
from tests.e2e.lab.labgrid_server import Labgrid, serve
from tests.virtual_lab.command import FRAGMENTS
from tests.virtual_lab.fixtures import known_good
from tests.virtual_lab.lab import Lab, Position

pytestmark = [pytest.mark.e2e, pytest.mark.full]
BOARD = "virtual-rk-place"
MARK = "# The same board by other ways:\n"


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Position]:
    folder = tmp_path_factory.mktemp("virtual-lab")
    name, log = known_good(), folder / "build.log"
    kernel = (
        find_kernel(name, log=log)
        if name
        else build_side(prepare_kernel(None, fragments=FRAGMENTS), log=log, progress=lambda *_text: None)
    )
    with Lab(folder, kernel, 1, print) as lab:
        yield lab.positions[0]


@pytest.fixture(scope="module")
def labgrid(tmp_path_factory: pytest.TempPathFactory, position: Position) -> Iterator[Labgrid]:
    other = yaml.safe_load(re.sub(r"^# ", "", position.file.read_text().partition(MARK)[2], flags=re.MULTILINE))
    pdu: dict[str, Any] = other["power"]["pdudaemon"]
    groups = {"virtual-rk": {
        "NetworkSerialPort": {"host": "127.0.0.1", "port": position.telnet_port, "speed": 115200},
        "PDUDaemonPort": {"host": f"{pdu['host']}:{pdu['port']}", "pdu": pdu["pdu"], "index": pdu["pdu_port"]},
        "NetworkService": {"address": "127.0.0.1", "port": position.ssh_port, "username": "root"},
    }}  # fmt: skip
    folder = tmp_path_factory.mktemp("labgrid")
    with serve(folder, {"virtual-rk": ["shelf/virtual-rk/*"]}) as server, server.exporter("shelf", groups):
        yield server


def described(position: Position, labgrid: Labgrid) -> dict[str, Any]:
    """A board file that has neither console nor power, and of SSH only how to log in."""
    data: dict[str, Any] = yaml.safe_load(position.file.read_text())
    del data["console"], data["power"]
    data["ssh"] = {"host": "203.0.113.1", "key_file": str(position.keys.user_file)}
    data["labgrid"] = {"place": "virtual-rk", "coordinator": labgrid.coordinator}
    return data


def prepare(folder: Path, position: Position, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory that knows the board's host key; labgrid-client is found."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("PANTHORLAB_LAB", str(state))
    monkeypatch.setenv("PANTHORLAB_LABGRID", str(labgrid_server.programs().parent))
    known_hosts(state, BOARD).write_text(f"{BOARD} {position.keys.known_host()}\n")
    return state


@pytest.fixture
def state(tmp_path: Path, position: Position, labgrid: Labgrid, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `prepare`; and there is the board file."""
    (tmp_path / "board_configs").mkdir()
    (tmp_path / "board_configs" / f"{BOARD}.yaml").write_text(yaml.safe_dump(described(position, labgrid)))
    monkeypatch.setenv("PANTHORLAB_PATH", str(tmp_path))
    return prepare(tmp_path, position, monkeypatch)


def run_argv(kernels: tuple[Kernel, Kernel], run: Path) -> list[str]:
    return [
        "validate",
        "--board",
        BOARD,
        "--before",
        kernels[0].key,
        "--after",
        kernels[1].key,
        "--suite",
        "heap-exit-claim",
        "--iterations",
        "6",
        "--output",
        str(run),
    ]


def test_one_run_has_the_place_from_its_beginning_to_its_end(
    cli: Cli, state: Path, labgrid: Labgrid, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    """Not only while the board boots and works: nobody gets it between two boots."""
    had = len(labgrid.holders("virtual-rk"))
    done = cli(*run_argv(module_kernels, tmp_path / "run"))
    sides = done.json["sides"]
    assert [(sides[side]["iterations"], sides[side]["boots"]) for side in ("before", "after")] == [(10, 2), (30, 2)]
    assert sides["before"]["faulty"] > 6
    assert sides["after"]["faulty"] == 0
    first, *rest = labgrid.holders("virtual-rk")[had:]
    assert f"+panthorlab-{BOARD}+" in str(first)
    assert rest == [None]
    assert not list(state.glob("*.labgrid"))


def test_next_start_releases_the_place_of_a_run_that_was_killed(
    cli: Cli, state: Path, labgrid: Labgrid, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "panthorlab", *run_argv(module_kernels, run)]
    with (tmp_path / "log").open("wb") as log:
        killed = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        until(lambda: killed.poll() is not None or (run / "events.jsonl").exists())
        until(lambda: killed.poll() is not None or any(isinstance(event, Iteration) for event in read_events(run)))
    finally:
        killed.kill()
        killed.wait()
    assert killed.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert labgrid.holder("virtual-rk") is not None
    done = cli("resume", run)
    sides = done.json["sides"]
    assert [sides[side]["iterations"] for side in ("before", "after")] == [10, 30], done.stderr
    assert sides["before"]["faulty"] > 6
    assert sides["after"]["faulty"] == 0
    assert any(f"(process {killed.pid}) still held" in note for note in done.json["notes"]), done.json["notes"]
    assert labgrid.holder("virtual-rk") is None
    assert not list(state.glob("*.labgrid"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_place_is_switched_on_listened_to_and_logged_into(
    position: Position, labgrid: Labgrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = prepare(tmp_path, position, monkeypatch)
    file = RealFile.model_validate(described(position, labgrid))
    with open_rig(BOARD, file, run_dir=tmp_path, log_dir=tmp_path, progress=print) as rig:
        assert "panthorlab-virtual-rk" in str(labgrid.holder("virtual-rk"))
        rig.power.cycle()
        assert rig.console.wait_for(lambda line: b"U-Boot 20" in line.text, 60), rig.console.tail()
        shell = rig.connect(300)
        release = shell.run(["uname", "-r"], timeout=60).stdout.decode().strip()
        shell.close()
        assert release == file.known_good
    assert labgrid.holder("virtual-rk") is None
    assert not list(state.glob("*.labgrid"))
