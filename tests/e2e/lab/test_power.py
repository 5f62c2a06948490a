# SPDX-License-Identifier: GPL-2.0-or-later
"""Power through a real pdudaemon, whose `localcmdline` outlets really start and stop a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab.board.power import open_power
from panthorlab.board.power.file import PdudaemonSwitch
from panthorlab.board.power.supervised import SupervisedPower
from panthorlab.errors import LabError

pytestmark = pytest.mark.e2e

START = 60  # seconds until pdudaemon listens, on a busy machine
BOARD = """#!/bin/sh
# A "board": a process that is there while power is on, and notes when power changed.
case $1 in
on) kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null && exit
    sleep 1000 >/dev/null 2>&1 & echo $! >pid; echo "on $(date +%s.%N)" >>changes ;;
off) kill "$(cat pid)" && rm pid; echo "off $(date +%s.%N)" >>changes ;;
esac
"""


class Pdu:
    """A running pdudaemon with one PDU, `shelf`; its outlet 1 is the board, outlet 2 a command that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "board"
        program.write_text(BOARD)
        program.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # pdudaemon fills the outlet in with `%` and runs the line in a shell.
        line = f"cd '{folder}' && test %s = 1 && ./board"
        config = {
            "daemon": {"hostname": "127.0.0.1", "port": self.port, "logging_level": "DEBUG", "listener": "http"},
            "pdus": {"shelf": {"driver": "localcmdline", "cmd_on": f"{line} on", "cmd_off": f"{line} off"}},
        }
        (folder / "pdudaemon.conf").write_text(json.dumps(config))
        daemon = shutil.which("pdudaemon")
        assert daemon, "pdudaemon is not installed (scripts/setup does it)"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [daemon, "--conf", str(folder / "pdudaemon.conf")], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "pdudaemon does not listen"
                time.sleep(0.1)

    @property
    def powered(self) -> bool:
        try:
            os.kill(int((self.folder / "pid").read_text()), 0)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    @property
    def changes(self) -> list[tuple[str, float]]:
        lines = (self.folder / "changes").read_text().splitlines()
        return [(word, float(moment)) for word, moment in (line.split() for line in lines)]

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self.powered:
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def pdu(tmp_path: Path) -> Iterator[Pdu]:
    made = Pdu(tmp_path)
    yield made
    made.end()


def power_of(pdu: Pdu, *, off_time: float = 1.0, name: str = "shelf") -> SupervisedPower:
    section = PdudaemonSwitch.model_validate(
        {
            "driver": "pdudaemon",
            "host": "127.0.0.1",
            "port": pdu.port,
            "pdu": name,
            "pdu_port": 1,
            "off_time": off_time,
            "retries": 1,
            "timeout": 30,
        }
    )
    return open_power(section, board="rock", state_dir=pdu.folder / "lab", progress=lambda _step: None)


def test_the_daemon_really_switches(pdu: Pdu) -> None:
    power = power_of(pdu)
    assert not pdu.powered
    power.on()
    assert pdu.powered
    power.off()
    assert not pdu.powered
    power.cycle()
    assert pdu.powered
    assert power.state() is None  # it cannot tell, and nobody pretends
    words = [word for word, _ in pdu.changes]
    assert words[:2] == ["on", "off"]
    assert words[-1] == "on"
    off_at = next(moment for word, moment in pdu.changes if word == "off")
    assert pdu.changes[-1][1] - off_at >= 1.0


def test_an_unknown_pdu_is_explained(pdu: Pdu) -> None:
    with pytest.raises(LabError, match="pdudaemon refused") as caught:
        power_of(pdu, name="shelv").on()
    assert "`shelv`" in str(caught.value.hint)
    assert not pdu.powered


def test_a_daemon_that_died_is_named(pdu: Pdu) -> None:
    power = power_of(pdu)
    power.on()
    pdu._process.kill()
    pdu._process.wait()
    with pytest.raises(LabError, match=r"rock: power is not off: pdudaemon .* cannot be reached: Connection refused"):
        power.cycle()
    assert power.left_off  # it may be: the next process to take the board switches it on
