# SPDX-License-Identifier: GPL-2.0-or-later
"""A board of the virtual lab as a place of a real labgrid: switched, listened to and logged into through the place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from panthorlab.board.real.file import RealFile
from panthorlab.board.real.hostkeys import known_hosts
from panthorlab.board.real.rig import open_rig
from panthorlab.kernel.job import build_side, find_kernel, prepare_kernel
from tests.e2e.lab.labgrid_server import Labgrid, serve
from tests.virtual_lab.command import FRAGMENTS
from tests.virtual_lab.fixtures import known_good
from tests.virtual_lab.lab import Lab, Position

pytestmark = [pytest.mark.e2e, pytest.mark.full]
MARK = "# The same board by other ways:\n"


@pytest.fixture(scope="module")
def position(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Position]:
    folder = tmp_path_factory.mktemp("virtual-lab")
    name, log = known_good(), folder / "build.log"
    kernel = find_kernel(name, log=log) if name else \
        build_side(prepare_kernel(None, fragments=FRAGMENTS), log=log, progress=lambda *_text: None)
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


def test_place_is_switched_on_listened_to_and_logged_into(
    position: Position, labgrid: Labgrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The board file has neither console nor power, and of SSH only how to log in."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("PANTHORLAB_LAB", str(state))
    monkeypatch.setenv("PANTHORLAB_LABGRID", str(labgrid.bin.parent))
    known_hosts(state, "virtual-rk").write_text(f"virtual-rk {position.keys.known_host()}\n")
    data = yaml.safe_load(position.file.read_text())
    del data["console"], data["power"]
    data["ssh"] = {"host": "203.0.113.1", "key_file": str(position.keys.user_file)}
    data["labgrid"] = {"place": "virtual-rk", "coordinator": labgrid.coordinator}
    file = RealFile.model_validate(data)
    with open_rig("virtual-rk", file, run_dir=tmp_path, log_dir=tmp_path, progress=print) as rig:
        assert "panthorlab-virtual-rk" in str(labgrid.holder("virtual-rk"))
        rig.power.cycle()
        assert rig.console.wait_for(lambda line: b"U-Boot 20" in line.text, 60), rig.console.tail()
        shell = rig.connect(300)
        release = shell.run(["uname", "-r"], timeout=60).stdout.decode().strip()
        shell.close()
        assert release == file.known_good
    assert labgrid.holder("virtual-rk") is None
    assert not list(state.glob("*.labgrid"))
