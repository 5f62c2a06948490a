# SPDX-License-Identifier: GPL-2.0-or-later
"""The jail: bubblewrap's command line for a program that may be hostile, and why bubblewrap does not work.

Inside there are the system's programs, read-only; the directories that are named, under /mnt; and private, empty /tmp,
/var/tmp, /run, /dev/shm and home. No network, no other processes, no System V IPC, no privileges, no environment.
Root's builds run as a user of their own, for root without privileges still owns root's files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROGRAM = "bwrap"
ROOT = Path("/mnt")
SETTINGS = Path("/proc/sys")
HOME = "/home"
# Belongs to nobody on any Debian, and fits into the 65536 ids of a container.
BUILD_UID = 65533
STARTED = "panthorlab: the jail is closed"
"""Marker line in the output: before it come bubblewrap's errors, after it the program's output."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Directories of programs that every user may run; nothing else of the machine is visible in the jail."""
_ETC = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_EMPTY = ("/tmp", "/var/tmp", "/run", HOME)  # noqa: S108 - those of the jail
# Started in a process group of its own, by whom SIGTERM is sent when the controller is gone. While bubblewrap makes the
# jail, nothing else would end its parts with it.
_KEEPER = ("/bin/sh", "-c", "trap 'kill -KILL 0' TERM; \"$@\" & wait $!; exit $?", "keeper")
# Process 1: when it ends, the kernel ends all others, and only then tells anybody. Bubblewrap has its own end kill it,
# which it may do only to a process of its own user: so it is not yet the build's.
_INIT = ("/bin/sh", "-c", '"$@"; exit $?', "init")
_BUILD_USER = (
    "/usr/bin/setpriv",
    f"--reuid={BUILD_UID}",
    f"--regid={BUILD_UID}",
    "--clear-groups",
    "--no-new-privs",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--bounding-set=-all",
    "--",
)
# In a session of its own, so that it cannot signal its keeper's. Does not begin if nobody listens any more.
_BEGIN = ("/usr/bin/setsid", "/bin/sh", "-c", f'echo "{STARTED}" && exec "$@"', "begin")


@dataclass(frozen=True)
class Bind:
    """A directory, file or link the program may see as `name` (`/mnt/NAME` in the jail, or an absolute path);
    read-only unless `writable`."""

    name: str
    path: Path
    writable: bool = False

    @property
    def place(self) -> str:
        return str(ROOT / self.name)


def command(
    argv: Sequence[str], binds: Sequence[Bind], env: Mapping[str, str], seccomp: int | None = None
) -> list[str]:
    """The argv that runs `argv` in the jail, with exactly `env`. It exits with its status, 128 + signal if killed.

    `seccomp`: an open descriptor with a filter of system calls, see seccomp.py. It must be started in a new session,
    which keeps it from the terminal, and be sent SIGTERM when its parent ends.
    """
    root = os.getuid() == 0
    words = [
        *_KEEPER,
        PROGRAM,
        "--as-pid-1",
        "--die-with-parent",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--hostname",
        "panthorlab",
        "--cap-drop",
        "ALL",
    ]
    words += (
        ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        if root
        else ["--unshare-user", "--disable-userns"]
    )
    words += [*_system(), "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    for path in _EMPTY:
        words += ["--perms", "1777", "--tmpfs", path]
    for bind in binds:
        if bind.path.is_symlink() and not bind.path.is_dir():  # a program finds its parts from where the link leads
            words += [*_way_to(bind.place), "--symlink", str(bind.path.readlink()), bind.place]
        else:
            words += [*_way_to(bind.place), "--bind" if bind.writable else "--ro-bind", str(bind.path), bind.place]
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--clearenv"]
    words += [] if seccomp is None else ["--seccomp", str(seccomp)]
    for name, value in env.items():
        words += ["--setenv", name, value]
    return [*words, "--", *_INIT, *(_BUILD_USER if root else ()), *_BEGIN, *argv]


def _system() -> Iterator[str]:
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)
    for name in _ETC:
        yield from (*_way_to(name), "--ro-bind-try", name, name)


def _way_to(place: str) -> Iterator[str]:
    """Its parents, which the build's user could not pass if bubblewrap made them for a file."""
    for folder in reversed(PurePosixPath(place).parents[:-1]):
        yield from ("--perms", "0755", "--dir", str(folder))


def remedy(complaint: str) -> str:
    """What lets bubblewrap work here, from what it said and what the kernel is set to."""
    if "nknown option" in complaint:
        return "install bubblewrap 0.8 or newer"
    for setting, forbidden, mend in (
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap",
        ),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ):
        path = SETTINGS / setting
        if os.getuid() and path.exists() and path.read_text().strip() == forbidden:
            return f"an administrator can allow it: {mend}"
    return "in a container, allow it to make namespaces and to mount /proc (e.g. --privileged)"
