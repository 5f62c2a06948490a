# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one program as an unprivileged user, without network, and let nothing of it survive us. A script, not a module.

    python3 -I jail.py '{"uid": 65533, "binds": [["/real/path", "src", "ro"], …]}' PROGRAM ARG…

It makes new network, mount, process and IPC namespaces (and a user namespace if it is not root), shows the program the
directories of `binds` under /mnt and nothing else of /mnt, drops root for good, and exits with the program's status
(128 + signal if it was killed). Killing this script, even by SIGKILL, kills everything that the program started.
Exit status 125 and one line `jail: …` on stderr: the system does not allow it. Only the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
REFUSED = 125
ROOT = Path("/mnt")

_libc = ctypes.CDLL(None, use_errno=True)


def main(plan: dict[str, object], argv: list[str]) -> int:
    parent = os.getppid()
    _check("prctl", _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        return REFUSED  # our parent died before it could be watched
    uid, gid, root = os.getuid(), os.getgid(), os.getuid() == 0
    flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    _check("unshare", _libc.unshare(flags if root else flags | CLONE_NEWUSER))
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mounts(plan["binds"])
    lifeline, held = os.pipe()  # nobody else has `held`: it is closed when we die
    init = os.fork()
    if init:
        return _status(os.waitpid(init, 0)[1])
    # Process 1 of the namespace: when it ends, the kernel kills all others in it.
    os.close(held)
    _check("prctl", _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if select.select([lifeline], [], [], 0)[0]:
        os._exit(REFUSED)  # our parent died before it could be watched; getppid() does not tell across a namespace
    worker = os.fork()
    if worker == 0:
        _run(int(str(plan["uid"])) if root else None, argv)
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(_status(status))


def _mounts(binds: object) -> None:
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    assert isinstance(binds, list)  # noqa: S101 - our caller wrote it
    handles = [os.open(source, os.O_PATH | os.O_DIRECTORY) for source, _, _ in binds]
    _mount("panthorlab", str(ROOT), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for handle, (_, name, mode) in zip(handles, binds, strict=True):
        target = ROOT / name
        target.mkdir()
        # By descriptor: the source may itself be under /mnt.
        _mount(f"/proc/self/fd/{handle}", str(target), None, MS_BIND)
        if mode == "ro":
            _mount("none", str(target), None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
        os.close(handle)


def _run(uid: int | None, argv: list[str]) -> None:
    try:
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        _check("prctl", _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        os.execvp(argv[0], argv)  # noqa: S606 - this script is there for that
    except OSError as error:
        print(f"jail: {argv[0]}: {error}", file=sys.stderr, flush=True)
    os._exit(REFUSED)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode())
    _check(f"mount {target}", result)


def _check(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
    except OSError as trouble:
        print(f"jail: {trouble}", file=sys.stderr)
        sys.exit(REFUSED)
