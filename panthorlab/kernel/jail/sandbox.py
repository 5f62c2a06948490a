# SPDX-License-Identifier: GPL-2.0-or-later
"""Running untrusted code of a tree or patch: in bubblewrap's jail, or without it only if the user says so.

Building a kernel runs code of the tree and so of the patch (Makefiles, host programs). In the jail the directories of a
build are always called the same (`/mnt/src`, `/mnt/obj`, …), which also makes compiler caches hit for every tree.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.kernel.jail import bubblewrap
from panthorlab.kernel.jail.bubblewrap import BUILD_UID, Bind
from panthorlab.kernel.jail.seccomp import filter_file

__all__ = ["BUILD_UID", "Bind", "Sandbox", "sandbox", "tools", "without_jail"]

NO_JAIL = "or use --no-jail if you trust the tree and every patch: they can then do all that you can"
UNPROTECTED = "built without a jail (--no-jail): the code of its tree could do all that the user can"
_KEPT = ("PATH", "TZ", "TERM")
_STOP_SECONDS = 5
_MAX_LINKS = 40  # as the kernel
_LONGEST_LINE = 1 << 20  # characters; the rest is the next line
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # some tell a terminal what to do
_open = False


@dataclass(frozen=True)
class Sandbox:
    """`jailed`: programs run in the jail; else unprotected, which only `--no-jail` allows."""

    jailed: bool

    @property
    def suffix(self) -> str:
        """Suffix for directories that builds write to: keeps files of the jail's user apart from ours."""
        return "" if self.jailed else "-open"

    def where(self, binds: Sequence[Bind], name: str) -> str:
        """Path under which the program finds the bind called `name`."""
        bind = next(bind for bind in binds if bind.name == name)
        return bind.place if self.jailed else str(bind.path)

    def hand_over(self, *paths: Path) -> None:
        """Let the build's user write to directories that we made for it."""
        self._give(paths, BUILD_UID)

    def take_back(self, *paths: Path) -> None:
        """Make the directories, but not their contents, ours again."""
        self._give(paths, 0)

    def _give(self, paths: Iterable[Path], uid: int) -> None:
        if self.jailed and os.getuid() == 0:
            for path in paths:
                os.chown(path, uid, uid, follow_symlinks=False)

    def run(
        self,
        argv: Sequence[str],
        binds: Sequence[Bind],
        *,
        on_line: Callable[[str], None],
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Run argv, giving each line of its output (both streams) to `on_line`, without what could control a
        terminal. Returns its exit status.

        When it returns, nothing of a jailed program is left; on any exception, Ctrl-C included, nothing stays for
        long. Raises LabError at the deadline, and if the jail cannot be made.
        """
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ |= {"LC_ALL": "C", "HOME": bubblewrap.HOME if self.jailed else "/nonexistent", **(env or {})}
        if not self.jailed:
            return _stream(list(argv), environ, on_line, timeout, name=argv[0], jailed=False)
        complaints: list[str] = []
        started = False

        def behind_the_start(line: str) -> None:
            nonlocal started
            if started:
                on_line(line)
            elif line == bubblewrap.STARTED:
                started = True
            else:
                complaints.append(line)

        with filter_file() as seccomp:
            command = bubblewrap.command(argv, binds, environ, seccomp)
            passed = () if seccomp is None else (seccomp,)
            status = _stream(command, environ, behind_the_start, timeout, name=argv[0], jailed=True, passed=passed)
        if not started:
            raise _unavailable(" ".join(complaints) or f"it ended with status {status}")
        return status


def without_jail() -> None:
    """From now on programs of trees run unprotected: the user has said `--no-jail`."""
    global _open
    _open = True


def sandbox() -> Sandbox:
    """The sandbox for code of a tree. Raises LabError if no jail is possible and `--no-jail` was not given."""
    if _open:
        return Sandbox(False)
    _probe()
    return Sandbox(True)


@cache
def _probe() -> None:
    """Test the jail by using it: the limits of kernel, container and security modules cannot be predicted."""
    if shutil.which(bubblewrap.PROGRAM) is None:
        raise LabError(
            "there is no jail for the code of trees and patches: bubblewrap is not installed",
            hint=f"install bubblewrap (Debian), {NO_JAIL}",
        )
    status = Sandbox(True).run(["/bin/true"], (), on_line=lambda _: None, timeout=60)
    if status:
        raise _unavailable(f"/bin/true ended with status {status} in it")


def _unavailable(complaint: str) -> LabError:
    return LabError(
        f"there is no jail for the code of trees and patches: {complaint[:400]}",
        hint=f"{bubblewrap.remedy(complaint)}, {NO_JAIL}",
    )


def tools(programs: Iterable[str]) -> tuple[Bind, ...]:
    """What the jail must show besides the system's own directories for these programs (names or paths) to run.

    For a compiler in `PREFIX/bin`: that directory, those of libraries and headers beside it, and nothing else of
    PREFIX, which may be a home directory.
    """
    found: dict[str, Bind] = {}
    for program in programs:
        path = Path(os.path.abspath(shutil.which(program) or program))  # noqa: PTH100 - symbolic links are to stay
        for place in (*_links(path), path.resolve()):
            if not any(place.is_relative_to(system) for system in bubblewrap.SYSTEM):
                for part in _parts(place):
                    found.setdefault(str(part), Bind(str(part), part))
    return tuple(found.values())


def _links(path: Path) -> Iterator[Path]:
    """The links that lead from `path` to a file, one after the other."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            return
        yield path
        path = path.parent / path.readlink()


def _parts(program: Path) -> Iterable[Path]:
    if program.parent.name != "bin":
        return (program,) if program.exists() else ()
    prefix, triplet = program.parent.parent, program.name.rpartition("-")[0]
    names = ("bin", "lib", "lib32", "lib64", "libexec", "include", *((triplet,) if triplet else ()))
    return [prefix / name for name in names if (prefix / name).is_dir()]


def _stream(
    argv: list[str],
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout: float,
    *,
    name: str,
    jailed: bool,
    passed: Sequence[int] = (),
) -> int:
    process = spawn.spawn(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        umask=0o022,
        death=signal.SIGTERM if jailed else signal.SIGKILL,
        pass_fds=passed,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None  # noqa: S101 - opened as a pipe above
    try:
        output = io.TextIOWrapper(process.stdout, errors="replace")
        for line in iter(lambda: output.readline(_LONGEST_LINE), ""):
            on_line(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", line.rstrip("\n")))
        status = process.wait()
    except BaseException:
        _stop(process)
        raise
    finally:
        timer.cancel()
        process.stdout.close()
    if expired.is_set():
        raise LabError(f"{name} did not end within {timeout:g} s", hint="is the machine overloaded?")
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
