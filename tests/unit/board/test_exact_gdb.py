# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping a guest for gdb: the order of questions to QEMU, the settings, and when a process is at rest."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from panthorlab.board.calls import UNSTOPPED, WAITING
from panthorlab.board.emulated.exact import gdb, settings
from panthorlab.board.emulated.exact.gdb import Device, GdbStop
from panthorlab.board.emulated.exact.settings import Calls, ExactSettings
from panthorlab.board.emulated.qmp import Monitor
from panthorlab.errors import LabError, UsageError

PORTS = {"exact.stop": "5", "exact.gdb": "1234"}


class Qemu:
    """Answers as QEMU does: not to `stop` before the CPU has run to the end of its block."""

    def __init__(self, *, refuses: str = "", runs_on: bool = False) -> None:
        self.sock, self._own = socket.socketpair()
        self.refuses, self._runs_on = refuses, runs_on
        self.freed = threading.Event()
        self.said: list[str] = []
        self.count = 40
        self._state = "running"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._own.sendall(b'{"QMP": {}}\n')
        for line in self._own.makefile():
            message = json.loads(line)
            answer: object = {}
            if message["execute"] == "stop":
                assert self.freed.wait(30)
                self._state = "paused"
                self.count += self._runs_on
            elif message["execute"] == "human-monitor-command":
                self.said.append(message["arguments"]["command-line"])
                answer = self.refuses or "Waiting for gdb connection on device 'x'\r\n"
            elif message["execute"] == "query-status":
                answer = {"status": self._state}
                self._state = "running"  # gdb lets it go on
            self._own.sendall(json.dumps({"return": answer}).encode() + b"\n")

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def resting() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def stop(qemu: Qemu, process: subprocess.Popen[bytes], told: list[str], port: int = 0) -> None:
    device = Device(port, Path("/run dir"), Path("/vmlinux"))
    GdbStop(process, Monitor(qemu.sock), device, lambda: qemu.count, told.append).stop(qemu.freed.set)


@pytest.mark.parametrize(
    ("port", "device", "remote"),
    [(0, "unix:gdb.sock", "/run dir/gdb.sock"), (1234, "tcp:localhost:1234", "localhost:1234")],
)
def test_it_frees_the_cpu_after_the_question_and_tells_the_command(
    port: int, device: str, remote: str, resting: subprocess.Popen[bytes]
) -> None:
    qemu, told = Qemu(), list[str]()
    stop(qemu, resting, told, port)
    qemu.close()
    assert qemu.said == [f"gdbserver {device},server=on,wait=off"]
    assert told == [f"{WAITING}gdb-multiarch /vmlinux -ex 'target remote {remote}'"]


@pytest.mark.parametrize(
    ("fault", "message"), [({"refuses": "port in use"}, "port in use"), ({"runs_on": True}, "not at 40")]
)
def test_a_stop_that_is_not_the_wanted_one_is_an_error(
    fault: Mapping[str, str], message: str, resting: subprocess.Popen[bytes]
) -> None:
    qemu, told = Qemu(**fault), list[str]()  # type: ignore[arg-type]
    with pytest.raises(LabError, match=message) as caught:
        stop(qemu, resting, told)
    assert told == [f"{UNSTOPPED}{caught.value}"]
    qemu.close()


def test_a_process_that_works_is_not_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdb, "_QUIET_SECONDS", 1.0)
    process = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.001)"])
    try:
        with pytest.raises(LabError, match="come to rest"):
            gdb._await_quiet(process.pid)
    finally:
        process.kill()
        process.wait()


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "expected", "left"),
    [
        ({}, ExactSettings(), {}),
        ({"exact.calls": "on", "exact.record": "off", "x": "1"}, ExactSettings(calls=Calls.ON), {"x": "1"}),
        ({"exact.latency": "fixed", "exact.stop": "7"}, ExactSettings(stop=7), {"exact.latency": "fixed"}),
        (PORTS, ExactSettings(stop=5, port=1234), {}),
    ],
)
def test_settings_are_told_from_the_models_own(
    params: Mapping[str, str], expected: ExactSettings, left: Mapping[str, str]
) -> None:
    assert settings.split(params) == (expected, left)


@pytest.mark.parametrize("name", ["blocks", "record", "calls", "stop", "gdb"])
@pytest.mark.parametrize("value", ["", "yes", "0", "-1", "²", "1e3", str(1 << 70), "70000x"])
def test_values_that_they_cannot_have_are_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"gpu.exact.{name} is"):
        settings.split({f"exact.{name}": value})
