# SPDX-License-Identifier: GPL-2.0-or-later
"""Real SSH servers on loopback, unprivileged, each with keys and a directory of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from panthorlab.board.real.file import Ssh
from panthorlab.board.real.ssh import hostkeys

SBIN = "/usr/sbin:/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")


@dataclass
class Server:
    """A server that runs; `section` is what a board's file says of it. Its host keys are pinned in `directory`."""

    process: subprocess.Popen[bytes]
    section: Ssh
    directory: Path
    argv: list[str] = field(default_factory=list)

    def sessions(self) -> list[int]:
        """Processes below the listening one, that serve connections."""
        return _children(self.process.pid)

    def signal_all(self, number: int) -> None:
        """To the listening process and to those that serve connections, not to what they have started."""
        todo = [self.process.pid]
        for pid in todo:
            if _comm(pid) in ("sshd", "sshd-session", "dropbear", "dropbearmulti"):
                todo += _children(pid)
                _signal(pid, number)

    def stop(self) -> None:
        self.signal_all(signal.SIGCONT)
        self.signal_all(signal.SIGKILL)
        self.process.wait()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):  # gone before, or since the file was opened
        return ""


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def need(program: str) -> str:
    found = shutil.which(program, path=SBIN)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def keygen(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    return path


def wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {log.read_text()}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"no server at port {port}: {log.read_text()}")


def sshd_argv(directory: Path, port: int, *, host_key: Path, sftp: bool = True, extra: str = "") -> list[str]:
    """OpenSSH's, in the foreground. Needs no root, and no privileges for its user."""
    config = directory / f"sshd_config-{port}"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin yes\n{'Subsystem sftp internal-sftp' if sftp else ''}\n{extra}\n"
    )
    return [need("sshd"), "-D", "-e", "-f", str(config)]


@contextmanager
def serving(argv: list[str], directory: Path, port: int, env: dict[str, str]) -> Iterator[Server]:
    log = directory / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, start_new_session=True
        )
    section = Ssh.model_validate(
        {"host": "127.0.0.1", "port": port, "user": getpass.getuser(), "key_file": str(directory / "id")}
    )
    server = Server(process, section, directory, argv)
    try:
        wait_listening(process, port, log)
        yield server
    finally:
        server.stop()


@contextmanager
def openssh(directory: Path, *, sftp: bool = True, extra: str = "") -> Iterator[Server]:
    directory.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its own demand, before it drops privileges
    port = free_port()
    host_key = keygen(directory / "host")
    keygen(directory / "id")
    shutil.copy(directory / "id.pub", directory / "authorized_keys")
    argv = sshd_argv(directory, port, host_key=host_key, sftp=sftp, extra=extra)
    with serving(argv, directory, port, dict(os.environ)) as server:
        hostkeys.pin(directory, "board", hostkeys.scan_host_keys("127.0.0.1", port))
        yield server


@contextmanager
def dropbear(directory: Path) -> Iterator[Server]:
    """Dropbear without SFTP, in a world where all programs are BusyBox's. Root only: it must make a mount namespace."""
    if os.getuid() != 0:
        pytest.skip("needs root, for a file system of its own")
    busybox, program = need("busybox"), need("dropbear")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    host_key = directory / "host"
    subprocess.run([need("dropbearkey"), "-t", "ed25519", "-f", host_key], check=True, capture_output=True)
    keygen(directory / "id")
    root = directory / "root"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "root/.ssh", "usr", "lib", "lib64", "run"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/bin/sh\n")
    shutil.copy(directory / "id.pub", root / "root/.ssh/authorized_keys")
    for path in ("root", "root/.ssh", "root/.ssh/authorized_keys"):
        (root / path).chmod(0o700)
    for library in _libraries(program) + _libraries(busybox):
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(library, target)
    shutil.copy(program, root / "bin/dropbear")
    shutil.copy(host_key, root / "etc/host")
    enter = (
        f"set -e; cd '{root}'; mount -t proc proc proc; mount -t sysfs sysfs sys; mount --rbind /dev dev;"
        " exec chroot . /bin/busybox sh -c '/bin/busybox --install -s /bin;"
        f" exec /bin/dropbear -F -E -s -r /etc/host -p 127.0.0.1:{port}'"
    )
    argv = [need("unshare"), "-m", "--propagation", "private", "/bin/sh", "-c", enter]
    env = {"PATH": "/bin:/usr/bin:/usr/sbin:/sbin"}
    with serving(argv, directory, port, env) as server:
        hostkeys.pin(directory, "board", hostkeys.scan_host_keys("127.0.0.1", port))
        yield server


def _libraries(program: str) -> list[Path]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [Path(word) for word in said.split() if word.startswith("/")]


def descendants(pid: int) -> list[int]:
    todo = _children(pid)
    for child in todo:
        todo += _children(child)
    return todo
