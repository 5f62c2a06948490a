# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a real board through a real ser2net: transports, BREAK, speed, dialogues, and outages."""

from __future__ import annotations

import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial.rfc2217

from panthorlab.board.console import ConsoleLine
from panthorlab.board.real.console.console import RealConsole, open_console
from panthorlab.board.real.file import ConsoleSection, TcpConsole, TelnetConsole, TtyConsole
from panthorlab.errors import LabError

pytestmark = pytest.mark.e2e
LONG = 60.0
SER2NET = shutil.which("ser2net") or "/usr/sbin/ser2net"
IAC_BREAK = b"\xff\xf3"


class Uart:
    """The board's end of a serial line; `device` is the lab's."""

    def __init__(self) -> None:
        self.fd, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self.fd, left) :]

    def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += os.read(self.fd, size - len(got))
        return got

    @property
    def speed(self) -> int:
        return int(termios.tcgetattr(self.fd)[5])

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._slave)


class Ser2net:
    """A server for one line, which can be killed and come back at its port."""

    def __init__(self, directory: Path, accepter: str, connector: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = directory / "ser2net.yaml"
        self._log = directory / "ser2net.log"
        self._config.write_text(
            "%YAML 1.1\n---\nconnection: &board\n"
            f"  accepter: {accepter},127.0.0.1,{self.port}\n  connector: {connector}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            argv = [SER2NET, "-n", "-d", "-u", "-c", str(self._config)]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        until(lambda: _listens(self.port), lambda: self._log.read_text())

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def until(condition: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.01)


def _listens(port: int) -> bool:
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


@pytest.fixture
def uart() -> Iterator[Uart]:
    line = Uart()
    yield line
    line.close()


Serve = Callable[[str, str], Ser2net]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[Ser2net] = []

    def start(accepter: str, connector: str) -> Ser2net:
        server = Ser2net(tmp_path, accepter, connector)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


def device(uart: Uart) -> str:
    return f"serialdev,{uart.device},115200n81,local"


@contextmanager
def opened(section: ConsoleSection, log: Path, **more: object) -> Iterator[RealConsole]:
    console = open_console(section, log, **more)  # type: ignore[arg-type]
    try:
        yield console
    finally:
        console.close()


def sections(port: int) -> dict[str, ConsoleSection]:
    return {
        "tcp": TcpConsole(transport="tcp", host="127.0.0.1", port=port),
        "telnet": TelnetConsole(transport="telnet", host="127.0.0.1", port=port),
        "telnet(rfc2217)": TelnetConsole(transport="telnet", host="127.0.0.1", port=port, rfc2217=True),
    }


@pytest.mark.parametrize("accepter", ["tcp", "telnet", "telnet(rfc2217)"])
def test_every_byte_goes_through(accepter: str, uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve(accepter, device(uart))
    stamps: list[ConsoleLine] = []
    with opened(sections(server.port)[accepter], tmp_path / "log", listeners=[stamps.append]) as console:
        noise = random.Random(1).randbytes(300_000)  # noqa: S311 - not for secrets
        data = noise + b"\r\r\0\n\xff\xff\xfaend\r\n"
        begin = time.monotonic()
        writer = threading.Thread(target=uart.write, args=(data,))
        writer.start()
        assert console.wait_for(lambda line: line.text.endswith(b"\xfaend"), LONG), console.tail()
        writer.join()
        assert console.log.read_bytes() == data
        assert [line.time for line in stamps] == sorted(line.time for line in stamps)
        assert begin <= stamps[0].time <= console.last_byte
        assert stamps[-1].time <= time.monotonic()
        complaint = console.complaint()
        assert complaint is not None
        assert "is the speed right?" in complaint
        back = bytes(range(256)) * 8
        console.send(back)
        assert uart.read(len(back)) == back
        assert console.error is None


def test_rfc2217_sets_the_speed(uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("telnet(rfc2217)", device(uart))
    assert uart.speed != termios.B1500000
    with opened(sections(server.port)["telnet(rfc2217)"], tmp_path / "log"):
        assert uart.speed == termios.B1500000


def test_a_server_without_rfc2217_is_refused(uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("telnet", device(uart))
    with pytest.raises(LabError, match="refuses RFC 2217"):
        open_console(sections(server.port)["telnet(rfc2217)"], tmp_path / "log")


def test_a_raw_server_is_no_telnet_server(uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("tcp", device(uart))
    with pytest.raises(LabError, match="did not say whether it speaks RFC 2217"):
        open_console(sections(server.port)["telnet(rfc2217)"], tmp_path / "log", timeout=1)


class FarPort:
    """A serial port as pyserial's RFC 2217 server drives it, which keeps what is done to it."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.baudrate, self.bytesize, self.parity, self.stopbits = 9600, 8, "N", 1
        self.rtscts = self.xonxoff = self.cts = self.dsr = self.ri = self.cd = self.rts = self.dtr = False

    def __setattr__(self, name: str, value: object) -> None:
        if name == "break_condition":
            self.done.append(("break", value))
        super().__setattr__(name, value)

    def reset_input_buffer(self) -> None:
        pass

    reset_output_buffer = reset_input_buffer


class FarEnd:
    """An RFC 2217 server of pyserial's, behind ser2net: the only kind of port that can tell of a BREAK."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.serial = FarPort()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        manager = serial.rfc2217.PortManager(self.serial, _Writer(connection))  # type: ignore[arg-type]
        while data := connection.recv(4096):
            if IAC_BREAK in data:  # which pyserial ignores
                self.serial.break_condition = True
            for byte in manager.filter(data):
                self.serial.done.append(byte)

    def close(self) -> None:
        self._listener.close()


class _Writer:
    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall


@pytest.mark.parametrize("accepter", ["telnet", "telnet(rfc2217)"])
def test_sysrq_by_break(accepter: str, serve: Serve, tmp_path: Path) -> None:
    far = FarEnd()
    server = serve(accepter, f"telnet(rfc2217),tcp,127.0.0.1,{far.port}")
    with opened(sections(server.port)[accepter], tmp_path / "log") as console:
        assert console.can_break
        console.sysrq("t")
        until(lambda: b"t" in far.serial.done, lambda: str(far.serial.done))
        if accepter == "telnet(rfc2217)":
            assert far.serial.baudrate == 1_500_000
    breaks = [event for event in far.serial.done if event == ("break", True)]
    assert len(breaks) == 1
    assert far.serial.done.index(breaks[0]) < far.serial.done.index(b"t")
    far.close()


def test_no_break_over_raw_tcp(uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("tcp", device(uart))
    with opened(sections(server.port)["tcp"], tmp_path / "log") as console:
        assert not console.can_break
        with pytest.raises(LabError, match="cannot send a BREAK") as raised:
            console.sysrq("t")
        assert "telnet(rfc2217)" in (raised.value.hint or "")


@pytest.mark.parametrize("accepter", ["tcp", "telnet", "telnet(rfc2217)"])
def test_a_line_in_use(accepter: str, uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve(accepter, device(uart))
    section = sections(server.port)[accepter]
    with opened(section, tmp_path / "log"), pytest.raises(LabError, match="in use"):
        open_console(section, tmp_path / "second")


def test_nobody_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(LabError, match="connection refused") as raised:
        open_console(sections(port)["tcp"], tmp_path / "log")
    assert "is ser2net up" in (raised.value.hint or "")


@pytest.mark.parametrize("accepter", ["tcp", "telnet(rfc2217)"])
def test_a_killed_server_comes_back(accepter: str, uart: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve(accepter, device(uart))
    seen: list[ConsoleLine] = []
    with opened(sections(server.port)[accepter], tmp_path / "log", listeners=[seen.append]) as console:
        uart.write(b"before\r\nhalf a line")
        until(lambda: console.log.read_bytes().endswith(b"half a line"))
        assert console.outages == []
        killed = time.monotonic()
        server.kill()
        assert console.wait_for(lambda line: b"console lost" in line.text, LONG)
        complaint = console.complaint()
        assert complaint is not None
        assert "no connection" in complaint
        assert len(console.outages) == 1
        with pytest.raises(LabError, match="no connection"):
            console.send(b"x")
        server.start()
        assert console.wait_for(lambda line: b"console back" in line.text, LONG, since=killed)
        uart.write(b"after\r\n")
        assert console.wait_for(lambda line: line.text == b"after", LONG, since=killed)
        [(began, ended)] = console.outages
        assert killed <= began < ended <= time.monotonic()
        assert console.complaint() is None
        console.send(b"back\n")
        assert uart.read(5) == b"back\n"
    assert [line.text for line in [*seen[:2], seen[-1]]] == [b"before", b"half a line", b"after"]
    assert re.fullmatch(
        rb"before\r\nhalf a line\r\n\[-- panthorlab: console lost: .* --\]\r\n"
        rb"\r\n\[-- panthorlab: console back after .* --\]\r\nafter\r\n",
        console.log.read_bytes(),
    )


def test_an_adapter_that_is_plugged_in_again(tmp_path: Path) -> None:
    name = tmp_path / "by-id"
    first = Uart()
    name.symlink_to(first.device)
    with opened(TtyConsole(transport="tty", device=str(name)), tmp_path / "log") as console:
        assert first.speed == termios.B1500000
        first.write(b"one\n")
        assert console.wait_for(lambda line: line.text == b"one", LONG)
        name.unlink()
        first.close()
        assert console.wait_for(lambda line: b"console lost" in line.text, LONG)
        second = Uart()
        name.symlink_to(second.device)
        assert console.wait_for(lambda line: b"console back" in line.text, LONG)
        second.write(b"two\n")
        assert console.wait_for(lambda line: line.text == b"two", LONG)
        assert len(console.outages) == 1
        second.close()


def test_a_device_that_somebody_reads(uart: Uart, tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], stdin=os.open(uart.device, os.O_RDWR | os.O_NOCTTY))
    try:
        with pytest.raises(LabError, match=rf"in use by sleep \(process {other.pid}\)"):
            open_console(TtyConsole(transport="tty", device=uart.device), tmp_path / "log")
    finally:
        other.kill()
        other.wait()


@pytest.fixture
def shell(uart: Uart) -> Iterator[Uart]:
    """A shell, as a board has it on its serial line."""
    pid, fd = pty.fork()
    if pid == 0:
        environment = {"PS1": "board$ ", "PATH": "/usr/bin:/bin"}
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], environment)  # noqa: S606

    def carry(source: int, sink: int) -> None:
        try:
            while data := os.read(source, 4096):
                os.write(sink, data)
        except OSError:
            return

    for ends in ((fd, uart.fd), (uart.fd, fd)):
        threading.Thread(target=carry, args=ends, daemon=True).start()
    yield uart
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(fd)


def test_a_dialogue_amid_printk(shell: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("telnet(rfc2217)", device(shell))
    noise = "while sleep 0.003; do printf '[%12s] usb 1-1: new device\\r\\n' 12.345678; done & noise=$!"
    with (
        opened(sections(server.port)["telnet(rfc2217)"], tmp_path / "log") as console,
        console.dialogue(since=0) as dialogue,
    ):
        dialogue.send("\r")
        dialogue.expect(rb"board\$ ", timeout=LONG, what="the prompt", nudge="\r")
        assert dialogue.command("echo $((6 * 7))", prompt=rb"board\$ ", timeout=LONG) == b"42\r\n"
        dialogue.command(noise, prompt=rb"board\$ ", timeout=LONG)
        for number in range(10):
            output = dialogue.command(
                f"echo a line that is typed for a while $(({number} * 1001))", prompt=rb"board\$ ", timeout=LONG
            )
            assert f"a line that is typed for a while {number * 1001}\r\n".encode() in output
        dialogue.command("kill $noise; wait", prompt=rb"board\$ ", timeout=LONG)
        assert re.search(rb"\[   12\.345678\] usb 1-1: new device", console.log.read_bytes())
        with pytest.raises(LabError, match=r"did not show the impossible in 0\.1 s\. Last on the console:\n"):
            dialogue.expect(rb"never", timeout=0.1, what="the impossible")
        with pytest.raises(LabError, match="already under way"), console.dialogue():
            pass


def test_a_dialogue_outlives_an_outage(shell: Uart, serve: Serve, tmp_path: Path) -> None:
    server = serve("tcp", device(shell))
    with opened(sections(server.port)["tcp"], tmp_path / "log") as console, console.dialogue() as dialogue:
        dialogue.expect(rb"board\$ ", timeout=LONG, what="the prompt", nudge="\r")
        server.kill()
        server.start()
        assert console.wait_for(lambda line: b"console back" in line.text, LONG)
        dialogue.expect(rb"board\$ ", timeout=LONG, what="the prompt", nudge="\r")
        assert dialogue.command("echo $((6 * 7))", prompt=rb"board\$ ", timeout=LONG) == b"42\r\n"
