# SPDX-License-Identifier: GPL-2.0-or-later
"""Opening a serial line: what is in the way is said. (The lines themselves: tests/e2e/lab/test_console.py.)"""

from __future__ import annotations

import errno
import os
import pty
from pathlib import Path

import pytest
import serial

from panthorlab.board.real.console.console import open_console
from panthorlab.board.real.console.links import open_link
from panthorlab.board.real.file import TcpConsole, TtyConsole
from panthorlab.errors import LabError


def tty(device: Path | str, speed: int = 1_500_000) -> TtyConsole:
    return TtyConsole(transport="tty", device=str(device), speed=speed)


def test_no_device(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such device; is the adapter plugged in"):
        open_link(tty(tmp_path / "ttyUSB0"))


def test_not_a_device(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LabError, match="not a serial device"):
        open_link(tty(file))
    with pytest.raises(LabError, match="cannot be set to 1500000 baud"):
        open_link(tty("/dev/null"))


def test_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LabError, match="no permission") as raised:
        open_link(tty("/dev/null"))
    assert "usermod -aG root $USER" in (raised.value.hint or "")


def test_a_device_is_ours_alone(tmp_path: Path) -> None:
    board, slave = pty.openpty()
    device = os.ttyname(slave)
    console = open_console(tty(device), tmp_path / "log")
    with pytest.raises(LabError, match=rf"{device}: in use by .* \(process {os.getpid()}\)"):
        open_link(tty(device))
    console.close()
    console.close()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
    again = open_link(tty(device))
    again.close()
    assert again.recv(10) == b""
    os.close(board)
    os.close(slave)


def test_no_such_host() -> None:
    with pytest.raises(LabError, match=r"no such host|Name or service|Temporary failure"):
        open_link(TcpConsole(transport="tcp", host="no-such-host.invalid", port=1))


def test_wrong_speed_and_silence_are_complained_about(tmp_path: Path) -> None:
    board, slave = pty.openpty()
    console = open_console(tty(os.ttyname(slave), 115200), tmp_path / "log")
    try:
        assert "no byte came" in (console.complaint() or "")
        os.write(board, b"\xfe\xf8\x80\0\xe0\xf0x\n" * 50)
        assert console.wait_for(lambda line: b"\xfe" in line.text, 5)
        assert "is the speed right? It is set to 115200 baud" in (console.complaint() or "")
        os.write(board, b"[    0.000000] Booting Linux on physical CPU 0x0\r\n" * 200 + b"login: \n")
        assert console.wait_for(lambda line: line.text == b"login: ", 5)
        assert console.complaint() is None
    finally:
        console.close()
        os.close(board)
        os.close(slave)
