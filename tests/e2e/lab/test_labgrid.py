# SPDX-License-Identifier: GPL-2.0-or-later
"""Places of a real labgrid coordinator and exporter: had, translated, contended for, and given back even after -9."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from panthorlab.board.lab import VARIABLE, run_token
from panthorlab.board.power.file import CommandSwitch, PdudaemonSwitch
from panthorlab.board.real.file import Labgrid as Section
from panthorlab.board.real.file import TcpConsole, TelnetConsole
from panthorlab.board.real.labgrid.acquire import acquire
from panthorlab.board.real.labgrid.place import PlaceSsh
from panthorlab.board.real.labgrid.records import release_stale
from panthorlab.errors import LabError
from tests.e2e.lab.labgrid_server import Labgrid, serve

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

HOLD = """
import sys
from pathlib import Path
from panthorlab.board.real.labgrid.acquire import acquire
from panthorlab.board.real.file import Labgrid
with acquire(Labgrid(place=sys.argv[1], coordinator=sys.argv[2]), owner="alice", lab_dir=Path(sys.argv[3]),
             timeout=0, progress=print):
    print("held", flush=True)
    sys.stdin.read()
"""


class Relay(BaseHTTPRequestHandler):
    """A switch as labgrid's model `rest` wants it: PUT and GET of 0 or 1."""

    value = b"0"

    def do_GET(self) -> None:
        self._answer(Relay.value)

    def do_PUT(self) -> None:
        Relay.value = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture(scope="module")
def relay() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def labgrid(tmp_path_factory: pytest.TempPathFactory, relay: str) -> Iterator[Labgrid]:
    groups = {
        "rig": {
            "NetworkSerialPort": {"host": "127.0.0.1", "port": 5001, "speed": 1500000, "protocol": "raw"},
            "PDUDaemonPort": {"host": "localhost", "pdu": "relay", "index": 3},
            "NetworkService": {"address": "127.0.0.1", "username": "root", "port": 2222},
        },
        "other": {
            "console": {"cls": "NetworkSerialPort", "host": "127.0.0.1", "port": 5002, "speed": 1500000},
            "NetworkPowerPort": {"model": "rest", "host": relay + "/relay/{index}", "index": 0},
        },
    }
    places = {
        "rig": ["shelf/rig/*"],
        "other-rig": ["shelf/other/*"],
        "late": ["late/late/*"],
        "serial": ["serial/tty/*"],
    }
    with serve(tmp_path_factory.mktemp("labgrid"), places) as server, server.exporter("shelf", groups):
        yield server


@pytest.fixture(autouse=True)
def client(labgrid: Labgrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTHORLAB_LABGRID", str(labgrid.bin.parent))
    monkeypatch.setenv("LG_HOSTNAME", "here")
    monkeypatch.setenv("LG_USERNAME", "bench")
    monkeypatch.setenv("STATE", "what other programs call a variable")


def section(labgrid: Labgrid, place: str) -> Section:
    return Section(place=place, coordinator=labgrid.coordinator)


def quiet(line: str) -> None:
    raise AssertionError(f"not quiet: {line}")


def test_place_is_acquired_translated_and_released(labgrid: Labgrid, tmp_path: Path) -> None:
    with acquire(section(labgrid, "rig"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet) as place:
        assert re.fullmatch(r"here/bench\+alice\+[0-9a-f]{8}", str(labgrid.holder("rig")))
        assert place.console == TcpConsole(transport="tcp", host="127.0.0.1", port=5001)
        assert isinstance(place.power, PdudaemonSwitch)
        assert (place.power.host, place.power.port, place.power.pdu, place.power.pdu_port) == (
            "localhost",
            16421,
            "relay",
            3,
        )
        assert place.ssh == PlaceSsh("127.0.0.1", 2222, "root")
    assert labgrid.holder("rig") is None
    assert not list(tmp_path.iterdir())


def test_switch_that_only_labgrid_knows(labgrid: Labgrid, tmp_path: Path) -> None:
    """Its commands do switch, and tell the state in the words of a `command` switch; only while the place is held."""
    with acquire(section(labgrid, "other-rig"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet) as place:
        assert isinstance(place.console, TelnetConsole)
        assert (place.console.rfc2217, place.console.speed, place.console.port) == (True, 1500000, 5002)
        assert place.ssh is None
        switch = place.power
        assert isinstance(switch, CommandSwitch)
        assert switch.state is not None
        for action, value in ((switch.on, b"1"), (switch.off, b"0")):
            subprocess.run(action, check=True, timeout=60, capture_output=True)
            assert Relay.value == value
            said = subprocess.run(switch.state, check=True, timeout=60, capture_output=True, text=True).stdout
            assert said == ("on\n" if value == b"1" else "off\n")
    assert subprocess.run(switch.state, check=False, timeout=60, capture_output=True).returncode != 0


def test_place_of_another_is_refused_at_the_deadline_or_waited_for(labgrid: Labgrid, tmp_path: Path) -> None:
    labgrid.client("-p", "rig", "acquire", user="bob")
    with (
        pytest.raises(LabError, match="not to be had within 0 s: it is acquired by elsewhere/bob"),
        acquire(section(labgrid, "rig"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet),
    ):
        pytest.fail("two have one place")
    assert labgrid.holder("rig") == "elsewhere/bob"
    told: list[str] = []

    def give_back(line: str) -> None:
        told.append(line)
        labgrid.client("-p", "rig", "release", user="bob")

    with acquire(section(labgrid, "rig"), owner="alice", lab_dir=tmp_path, timeout=60, progress=give_back):
        assert "alice+" in str(labgrid.holder("rig"))
    assert told == ["waiting for labgrid place rig: it is acquired by elsewhere/bob"]
    assert labgrid.holder("rig") is None


def controller(labgrid: Labgrid, place: str, lab_dir: Path) -> subprocess.Popen[str]:
    """Another process, which holds the place until its stdin ends."""
    argv = [sys.executable, "-c", HOLD, place, labgrid.coordinator, str(lab_dir)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_place_of_a_killed_controller_is_released_by_the_next_start_that_of_a_live_one_is_not(
    labgrid: Labgrid, tmp_path: Path
) -> None:
    told: list[str] = []
    with controller(labgrid, "rig", tmp_path) as dead, controller(labgrid, "other-rig", tmp_path) as alive:
        dead.kill()
        dead.wait()
        assert "alice+" in str(labgrid.holder("rig"))
        release_stale(tmp_path, told.append)
        assert labgrid.holder("rig") is None
        assert "alice+" in str(labgrid.holder("other-rig"))
        assert told == [f"labgrid: released place rig, which a controller that died (process {dead.pid}) still held"]
        alive.communicate("", timeout=60)
        assert alive.returncode == 0
    assert labgrid.holder("other-rig") is None
    assert not list(tmp_path.iterdir())


def test_workers_join_the_run_that_has_the_place(
    labgrid: Labgrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = (section(labgrid, "rig"), tmp_path)
    with acquire(where[0], owner="alice", lab_dir=where[1], timeout=0, progress=quiet):
        before = labgrid.holders("rig")
        monkeypatch.setenv(VARIABLE, run_token())
        with controller(labgrid, "rig", tmp_path) as worker:
            worker.communicate("", timeout=60)
            assert worker.returncode == 0
        monkeypatch.setenv(VARIABLE, "another run")
        argv = [sys.executable, "-c", HOLD, "rig", labgrid.coordinator, str(tmp_path)]
        other = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert "not to be had within 0 s: it is acquired by" in other.stderr
        assert labgrid.holders("rig") == before, "the worker neither acquired nor released it"
        assert labgrid.client("-p", "rig", "release", "--kick", user="bob")
        with (
            pytest.raises(LabError, match="place rig was taken from us: it is released"),
            acquire(where[0], owner="alice", lab_dir=where[1], timeout=0, progress=quiet),
        ):
            pytest.fail("a place that somebody ended is not ours any more")
    assert labgrid.holder("rig") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_next_start_leaves_the_place_to_who_came_after(labgrid: Labgrid, tmp_path: Path) -> None:
    with controller(labgrid, "rig", tmp_path) as dead:
        dead.kill()
    labgrid.client("-p", "rig", "release", "--kick", user="bob")
    labgrid.client("-p", "rig", "acquire", user="bob")
    release_stale(tmp_path, lambda _line: None)
    assert labgrid.holder("rig") == "elsewhere/bob"
    assert not list(tmp_path.iterdir())
    labgrid.client("-p", "rig", "release", user="bob")


@pytest.mark.parametrize(("name", "meant"), [("rigg", "rig"), ("other", "other-rig")])
def test_place_that_there_is_not(labgrid: Labgrid, tmp_path: Path, name: str, meant: str) -> None:
    """labgrid itself would take `other` for `other-rig`, until the lab has two such."""
    with (
        pytest.raises(LabError, match=f"has no place `{name}`") as error,
        acquire(section(labgrid, name), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet),
    ):
        pytest.fail("there is no such place")
    assert f"`{meant}`" in str(error.value.hint)


@pytest.mark.full
def test_exporter_that_goes(labgrid: Labgrid, tmp_path: Path) -> None:
    """While the place is held and the run is interrupted: it is released all the same. Before: that is said."""

    def interrupted() -> None:
        late = acquire(section(labgrid, "late"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet)
        with contextlib.ExitStack() as held:
            with labgrid.exporter("late", {"late": {"NetworkService": {"address": "127.0.0.1", "username": "root"}}}):
                assert held.enter_context(late).ssh == PlaceSsh("127.0.0.1", 22, "root")
                assert "alice+" in str(labgrid.holder("late"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert labgrid.holder("late") is None
    with (
        pytest.raises(LabError, match="no matching remote resource") as error,
        acquire(section(labgrid, "late"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet),
    ):
        pytest.fail("its exporter has gone")
    assert "its exporter is not connected" in str(error.value.hint)
    assert labgrid.holder("late") is None


@pytest.mark.full
def test_console_that_its_exporter_serves_only_while_it_is_held(labgrid: Labgrid, tmp_path: Path) -> None:
    """A serial port of the exporter's machine (here a pty): ser2net comes up with the place, and carries bytes."""
    host, device = os.openpty()
    tty.setraw(device)
    groups = {"tty": {"RawSerialPort": {"port": os.ttyname(device), "speed": 115200}}}
    with (
        labgrid.exporter("serial", groups),
        acquire(section(labgrid, "serial"), owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet) as place,
    ):
        assert isinstance(place.console, TelnetConsole)
        assert place.console.rfc2217
        with socket.create_connection((place.console.host, place.console.port), timeout=30) as line:
            got = b""
            while b"U-Boot" not in got:
                os.write(host, b"U-Boot 2026.10\r\n")  # until ser2net has opened the port
                chunk = line.recv(4096)
                assert chunk, "ser2net hung up"
                got += chunk
    os.close(host)
    os.close(device)


def test_no_coordinator(tmp_path: Path) -> None:
    nowhere = Section(place="rig", coordinator="127.0.0.1:1")
    with (
        pytest.raises(LabError, match=r"coordinator 127\.0\.0\.1:1 does not answer") as error,
        acquire(nowhere, owner="alice", lab_dir=tmp_path, timeout=0, progress=quiet),
    ):
        pytest.fail("there is no coordinator")
    assert "LG_COORDINATOR" in str(error.value.hint)
