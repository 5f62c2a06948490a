# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's servers, the real ones of Debian, configured for this lab: ser2net, atftpd, pdudaemon."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from panthorlab import debs, spawn
from panthorlab.errors import LabError
from panthorlab.paths import cache_dir
from tests.virtual_lab import packages
from tests.virtual_lab.uart import Uart

PDU = "virtual-pdu"
SWITCH = str(Path(__file__).with_name("switch.py"))
TFTP_PORT = 69
TFTP_PROBE = "whose"
"""A file whose contents tell which lab serves it."""
TFTP_PACKAGES = ("atftpd",)
TFTP_ADDRESSES = tuple(f"127.0.0.{number}" for number in range(70, 100))
"""QEMU's user network keeps port 69 of its own address to itself, but passes these on to the machine's loopback."""
_START_TIMEOUT = 60.0
_SBIN = ("/usr/sbin", "/sbin")


@dataclass
class Service:
    """A server process that the lab can stop, continue, end and start again."""

    name: str
    argv: Sequence[str]
    folder: Path
    answers: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers; nothing if it runs. Raises LabError."""
        if self.process is not None and self.process.poll() is None:
            return
        log_file = self.folder / f"{self.name}.log"
        with log_file.open("ab") as log:
            self.process = spawn.spawn(self.argv, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = log_file.read_text(errors="replace")[-1000:].strip()
                self.stop()
                raise LabError(f"{self.name} did not start: {said or 'it said nothing'}", hint=shlex.join(self.argv))
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            spawn.end(self.process, gently=1)
            self.process = None

    def pause(self, *, paused: bool) -> None:
        """A server that hangs: it takes packets and answers none."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _takes_tcp(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def program(name: str, package: str) -> str:
    """Its path. Raises LabError naming Debian's package."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))
    if found is None:
        raise LabError(f"there is no `{name}`", hint=f"apt-get install {package}")
    return found


# -- console server ---------------------------------------------------------------------------------------------


def ser2net(folder: Path, uart: Uart, telnet_port: int, tcp_port: int) -> Service:
    """The serial line as telnet (a BREAK gets through) and as raw TCP from the pseudo terminal."""
    config = folder / "ser2net.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        f"connection: &telnet\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{telnet_port}\n"
        f"  connector: telnet(rfc2217),tcp,127.0.0.1,{uart.port}\n"
        "  options:\n    max-connections: 4\n"
        f"connection: &tcp\n  accepter: tcp,127.0.0.1,{tcp_port}\n"
        f"  connector: serialdev,{uart.tty},1500000n81,local\n"
        "  options:\n    max-connections: 4\n"
    )
    argv = [program("ser2net", "ser2net"), "-n", "-d", "-c", str(config), "-P", str(folder / "ser2net.pid")]
    return Service("ser2net", argv, folder, lambda: _takes_tcp(telnet_port) and _takes_tcp(tcp_port))


# -- TFTP -------------------------------------------------------------------------------------------------------


def tftp(folder: Path, root: Path, address: str, on_progress: debs.ProgressCallback) -> Service:
    """atftpd on port 69, the only one that the board's U-Boot knows; it can do windows (RFC 7440).

    It runs as the user who starts it: a change of user would undo that it dies with the lab. Unpacked, not installed:
    Debian's TFTP servers exclude each other, and the machine may have one that is used.
    """
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    atftpd = packages.program(packages.unpacked(TFTP_PACKAGES, debs.architecture(), on_progress), "atftpd")
    argv = [
        *atftpd,
        "--daemon",
        "--no-fork",
        "--user",
        f"{user}.{group}",
        "--bind-address",
        address,
        "--port",
        str(TFTP_PORT),
        "--no-multicast",
        "--logfile",
        str(folder / "atftpd.log"),
        str(root),
    ]
    (root / TFTP_PROBE).write_text(str(folder))
    return Service("atftpd", argv, folder, lambda: _reads(address, TFTP_PROBE) == str(folder).encode()[:512])


@contextmanager
def tftp_address() -> Iterator[str]:
    """A loopback address on whose port 69 nobody serves, and no other lab will meanwhile. Raises LabError.

    A lock, not only a look: atftpd binds an address that another atftpd has, and either may get the packets.
    """
    for address in TFTP_ADDRESSES:
        with (cache_dir("virtual-lab") / f"tftp-{address}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind((address, TFTP_PORT))
            except OSError:
                continue
            yield address
            return
    raise LabError(
        f"all of {TFTP_ADDRESSES[0]} … {TFTP_ADDRESSES[-1]} have a TFTP server",
        hint="labs that still run? `virtual-lab down` ends them",
    )


def may_serve_tftp() -> bool:
    """Whether this user may have port 69."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    return os.geteuid() == 0 or lowest <= TFTP_PORT


def _reads(address: str, name: str) -> bytes | None:
    """The first block of a file (RFC 1350); None if there is no answer, or a refusal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.sendto(b"\0\1" + name.encode() + b"\0octet\0", (address, TFTP_PORT))
        try:
            answer = client.recv(4 + 512)
        except OSError:
            return None
        return answer[4:] if answer[:4] == b"\0\3\0\1" else None


# -- power ------------------------------------------------------------------------------------------------------


def pdudaemon(folder: Path, port: int, relay_port: int) -> Service:
    """pdudaemon, whose outlets are the relay's."""
    press = [sys.executable, SWITCH, f"http://127.0.0.1:{relay_port}/OUTLET/"]
    # pdudaemon puts the number of the outlet in for `%s`.
    command = shlex.join(press).replace("%", "%%").replace("OUTLET", "%s")
    config = {
        "daemon": {"hostname": "127.0.0.1", "port": port, "logging_level": "INFO", "listener": "http"},
        "pdus": {PDU: {"driver": "localcmdline", "cmd_on": f"{command}on", "cmd_off": f"{command}off"}},
    }
    path = folder / "pdudaemon.conf"
    path.write_text(json.dumps(config, indent=1))
    argv = [program("pdudaemon", "pdudaemon"), "--conf", str(path), "--logfile", str(folder / "pdudaemon.log")]
    return Service("pdudaemon", argv, folder, lambda: _takes_tcp(port))
