# SPDX-License-Identifier: GPL-2.0-or-later
"""A serial device of this machine as a link: opened exclusively, or an error that names who has it open."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import select
import stat
import termios
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import serial

from panthorlab.board.real.file import TtyConsole
from panthorlab.errors import LabError

BREAK_TIME: Final = 0.3
"""Seconds; a UART interprets anything longer than one character as BREAK."""
SEND_TIME: Final = 10
"""Seconds after which a device or server that accepts no byte counts as stuck."""


class TtyLink:
    """A serial adapter or a pseudo terminal, locked against others for as long as it is open."""

    def __init__(self, section: TtyConsole) -> None:
        self._name = section.device
        try:
            self._port = serial.Serial(section.device, section.speed, exclusive=True, write_timeout=SEND_TIME)
        except (OSError, ValueError, termios.error) as error:
            raise _cannot_open(section, error) from error
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._closing = threading.Lock()
        self._closed = False
        try:
            # flock excludes programs that use it, TIOCEXCL all that open the device (a pseudo terminal would stay
            # exclusive for ever if we were killed); earlier users are found by searching.
            if not _is_pty(section.device):
                fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL)
            if others := [who for pid, who in _holders(section.device) if pid != os.getpid()]:
                raise _in_use(section.device, others)
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._port.fileno(), select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)

    def recv(self, size: int, /) -> bytes:
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._closed or self._wake_read in ready:
                return b""
            try:
                data = os.read(self._port.fileno(), size)
            except BlockingIOError:
                continue
            return data and data + self._more(size - len(data))

    def _more(self, size: int) -> bytes:
        """Further available bytes: a terminal gives 4 KiB at a time, and each chunk costs a call of every listener."""
        data = bytearray()
        with suppress(OSError):  # nothing left; or the end of the line, which the next `recv` meets again
            while len(data) < size and (portion := os.read(self._port.fileno(), size - len(data))):
                data += portion
        return bytes(data)

    def send(self, data: bytes) -> None:
        self._port.write(data)

    @property
    def can_break(self) -> bool:
        """False for a pseudo terminal, which accepts the request and ignores it."""
        return not _is_pty(self._name)

    def send_break(self) -> None:
        self._port.send_break(BREAK_TIME)

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            os.write(self._wake_write, b"c")
            self._port.close()
            # the pipe stays for a reader that is about to look; it goes with this object

    def __del__(self) -> None:
        if hasattr(self, "_wake_read"):
            os.close(self._wake_read)
            os.close(self._wake_write)


def _is_pty(device: str) -> bool:
    return os.path.realpath(device).startswith("/dev/pts/")


def _cannot_open(section: TtyConsole, error: Exception) -> LabError:
    device = Path(section.device)
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        there = sorted(str(path) for path in Path("/dev/serial/by-id").glob("*"))
        return LabError(
            f"console {device}: no such device; is the adapter plugged in?",
            hint=f"there are: {', '.join(there)}" if there else "there is no USB serial adapter at all",
        )
    if code in (errno.EACCES, errno.EPERM):
        return LabError(f"console {device}: no permission", hint=_permission_hint(device))
    if code in (errno.EBUSY, errno.EAGAIN):
        return _in_use(section.device, [who for _, who in _holders(section.device)])
    if not stat.S_ISCHR(device.stat().st_mode):
        return LabError(f"console {device}: not a serial device")
    return LabError(
        f"console {device}: cannot be set to {section.speed} baud, 8N1: {error}",
        hint="is it a serial device, and can it do that speed? 1500000 needs e.g. FT232, CP2102N or CH340",
    )


def _permission_hint(device: Path) -> str:
    gid = device.stat().st_gid
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    return f"it belongs to group {group} (Debian: dialout): sudo usermod -aG {group} $USER, then log in anew"


def _in_use(device: str, others: list[str]) -> LabError:
    who = ", ".join(others) or "a program of another user"
    return LabError(
        f"console {device}: in use by {who}",
        hint=f"two readers would each get half of the console; end the other one (sudo fuser -v {device})",
    )


def _holders(device: str) -> Iterator[tuple[int, str]]:
    """Processes that have the device open, as far as we are allowed to see."""
    number = os.stat(device).st_rdev  # noqa: PTH116 - follows links like open()
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):  # gone, or of another user
            if any(_is_device(path, number) for path in descriptors.iterdir()):
                name = (descriptors.parent / "comm").read_text().strip()
                yield int(descriptors.parent.name), f"{name} (process {descriptors.parent.name})"


def _is_device(path: Path, number: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == number
