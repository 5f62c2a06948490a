# SPDX-License-Identifier: GPL-2.0-or-later
"""Running what a patch may have written: as an unprivileged user without network, wherever the system can.

Building a kernel runs code of the tree and so of the patch (Makefiles, host programs). In the jail the directories of a
build are always called the same (`/mnt/src`, `/mnt/obj`, …), which also makes compiler caches hit for every tree.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.kernel import jail

# Belongs to nobody on any Debian, and fits into the 65536 ids of a container.
BUILD_UID = 65533
_KEPT = ("PATH", "TZ", "TERM")
_STOP_SECONDS = 5


@dataclass(frozen=True)
class Bind:
    """A directory the program may see, as `name` (`/mnt/NAME` in the jail); read-only unless `writable`."""

    name: str
    path: Path
    writable: bool = False


@dataclass(frozen=True)
class Sandbox:
    """`jailed`: programs run in the jail. `note`: why not, for people."""

    jailed: bool
    note: str | None = None

    @property
    def suffix(self) -> str:
        """For names of directories that builds write to: what the jail's user owns is not mixed with what we own."""
        return "" if self.jailed else "-open"

    def where(self, binds: Sequence[Bind], name: str) -> str:
        """Path under which the program finds the bind called `name`."""
        path = next(bind.path for bind in binds if bind.name == name)
        return str(jail.ROOT / name) if self.jailed else str(path)

    def hand_over(self, *paths: Path) -> None:
        """Let the build's user write to directories that we made for it."""
        if self.jailed and os.getuid() == 0:
            for path in paths:
                os.chown(path, BUILD_UID, BUILD_UID)

    def run(
        self, argv: Sequence[str], binds: Sequence[Bind], *, on_line: Callable[[str], None], timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Run argv, giving each line of its output (both streams) to `on_line`. Returns its exit status.

        On any exception, Ctrl-C included, nothing of it is left running. Raises LabError at the deadline.
        """
        if self.jailed:
            plan = {
                "uid": BUILD_UID,
                "binds": [[str(bind.path), bind.name, "rw" if bind.writable else "ro"] for bind in binds],
            }
            argv = [sys.executable, "-I", "-S", jail.__file__, json.dumps(plan), *argv]
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ |= {"LC_ALL": "C", "HOME": "/nonexistent", **(env or {})}
        return _stream(list(argv), environ, on_line, timeout)


@cache
def sandbox() -> Sandbox:
    """What this system allows; tried once."""
    plan = json.dumps({"uid": BUILD_UID, "binds": []})
    done = spawn.run([sys.executable, "-I", "-S", jail.__file__, plan, "true"], timeout=60)
    if done.returncode == 0:
        return Sandbox(True)
    reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["unknown reason"]
    return Sandbox(False, f"builds run without protection ({reason[0]}): build only patches you trust")


def _stream(argv: list[str], env: Mapping[str, str], on_line: Callable[[str], None], timeout: float) -> int:
    process = spawn.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, umask=0o022)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None  # noqa: S101 - opened as a pipe above
    try:
        for line in io.TextIOWrapper(process.stdout, errors="replace"):
            on_line(line.rstrip("\n"))
        status = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        timer.cancel()
        process.stdout.close()
    if expired.is_set():
        raise LabError(f"{argv[0]} did not end within {timeout:g} s", hint="is the machine overloaded?")
    return status


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: kindly first, so that make removes half-written targets."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
