# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hostile Makefile would try, as a script of the standard library: prints a JSON object, attack → what it got.

An attack that was refused has the name of the error. argv[1]: JSON with where the test has laid out its baits.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

bait: dict[str, Any] = json.loads(sys.argv[1])
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, WALL, CLONE_NEWUSER = 16, 0x40000000, 0x10000000
NUMBERS = {"keyctl": (250, 219), "io_uring_setup": (425, 425), "unshare": (272, 97)}  # x86-64, the others


class Nothing(Exception):  # noqa: N818 - no error: there was nothing to be had
    """The attack found nothing."""


def append(path: str) -> str:
    with open(path, "a") as file:  # noqa: PTH123 - as short as an attack is
        file.write("was here\n")
    return "written"


def connect(family: int, address: Any) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(address)
    return "connected"


def see() -> str:
    """Other people's processes, by a word in their command line."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if bait["mark"].encode() == entry.read_bytes().split(b"\0")[1]:
                return "seen"
        except (OSError, IndexError):
            continue
    raise Nothing


def environments() -> str:
    found = json.dumps(dict(os.environ))
    for pid in {"self", "1", str(os.getppid())}:
        try:
            found += Path("/proc", pid, "environ").read_text(errors="replace")
        except OSError:
            continue
    if bait["secret"] not in found:
        raise Nothing
    return "found"


def linger() -> str:
    """A process in a session of its own, that holds nothing of ours open."""
    subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(120); {bait['lingering']!r}"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return "started"


def ptrace() -> str:
    if LIBC.ptrace(PTRACE_ATTACH, bait["victim"], None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(bait["victim"], WALL)
    return "attached"


def inject() -> str:
    """A command into the terminal that started the build."""
    with open("/dev/tty", "wb", buffering=0) as terminal:  # noqa: PTH123
        fcntl.ioctl(terminal, termios.TIOCSTI, b"\n")
    return "typed"


def descriptors() -> str:
    """Whatever was open where the build was started."""
    numbers = sorted(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    extra = [os.readlink(f"/proc/self/fd/{number}") for number in numbers[3:-1]]  # noqa: PTH115
    if not extra:
        raise Nothing
    return str(extra)


def unprivileged() -> str:
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    if status["NoNewPrivs"] == "1" and not any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh")):
        raise PermissionError
    return "setuid programs work" if status["NoNewPrivs"] != "1" else "has capabilities"


def make_device() -> str:
    os.mknod(f"{bait['writable']}/null", 0o20666, os.makedev(1, 3))
    return "made"


def call(name: str, *arguments: Any) -> str:
    """A system call that libc may have no function for."""
    if LIBC.syscall(NUMBERS[name][os.uname().machine != "x86_64"], *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
    return "done"


def in_a_child(function: Callable[[], str]) -> str:
    child = os.fork()
    if child == 0:
        try:
            function()
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise Nothing
    return "done"


def hard_link() -> str:
    os.link(bait["key"], f"{bait['writable']}/linked")
    return "linked"


def kill() -> str:
    os.kill(bait["victim"], 0)
    return "can be signalled"


ATTACKS: dict[str, Callable[[], str]] = {
    "read the key": lambda: Path(bait["key"]).read_text(),
    "write .bashrc": lambda: append(bait["bashrc"]),
    "write /tmp": lambda: append(bait["/tmp"]),  # noqa: S108
    "write /var/tmp": lambda: append(bait["/var/tmp"]),  # noqa: S108
    "write /dev/shm": lambda: append(bait["/dev/shm"]),  # noqa: S108
    "write the source": lambda: append(f"{bait['readonly']}/Makefile"),
    "write the program": lambda: append("/usr/panthorlab-was-here"),
    "read shadow": lambda: Path("/etc/shadow").read_text()[:4],
    "list /root": lambda: str(os.listdir("/root")),  # noqa: PTH208
    "tcp": lambda: connect(socket.AF_INET, ("127.0.0.1", bait["port"])),
    "unix socket": lambda: connect(socket.AF_UNIX, bait["socket"]),
    "abstract socket": lambda: connect(socket.AF_UNIX, "\0" + bait["abstract"]),
    "see a process": see,
    "signal a process": kill,
    "read its memory": lambda: str(Path(f"/proc/{bait['victim']}/environ").read_bytes()[:1]),
    "trace it": ptrace,
    "find the secret": environments,
    "type": inject,
    "use descriptors": descriptors,
    "keep privileges": unprivileged,
    "make a device": make_device,
    "link the key": hard_link,
    "virtual socket": lambda: str(socket.socket(40, socket.SOCK_STREAM)),
    "raw packets": lambda: str(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "keyring": lambda: call("keyctl", 0, -3, 0),
    "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "user namespace": lambda: in_a_child(lambda: call("unshare", CLONE_NEWUSER)),
    "linger": linger,
}

if __name__ == "__main__":
    found = {}
    for name, attack in ATTACKS.items():
        try:
            found[name] = attack()
        except (OSError, Nothing) as error:
            found[name] = type(error).__name__
    print(json.dumps(found))
