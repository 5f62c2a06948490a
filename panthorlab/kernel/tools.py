# SPDX-License-Identifier: GPL-2.0-or-later
"""Running host programs: argv only, C locale, always a deadline, and errors that say what went wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.files import disk_full

# Programs that a kernel build runs on the host, and the Debian package that has each.
HOST_TOOLS: Mapping[str, str] = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "tar": "tar",
    "xz": "xz-utils",
    "git": "git",
    "find": "findutils",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "apt-cache": "apt",
    "apt-config": "apt",
    "bwrap": "bubblewrap",
}
BUILD_TOOLS = ("make", "gcc", "ld", "flex", "bison", "bc")
TAIL_BYTES = 1 << 16  # of what a failed stage of a pipeline said
TREE_BYTES = 2_500_000_000  # an unpacked kernel tree and the files of one build
# In a git hook these name the repository that was committed to, and would win over `git -C`.
_HOOK_VARIABLES = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_SHALLOW_FILE",
        "GIT_QUARANTINE_PATH",
    }
)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run argv to its end. Raises LabError if it is not installed, outlives `timeout` or exits outside `ok`."""
    try:
        done = spawn.run(argv, cwd=cwd, stdin=stdin, timeout=timeout, env={**_environment(), **(env or {})})
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise LabError(f"{cwd}: no such directory") from error
        raise LabError(
            f"{argv[0]} is not installed", hint=f"install {HOST_TOOLS.get(argv[0], argv[0])} (Debian)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{argv[0]} did not end within {timeout:g} s: {' '.join(argv)}") from error
    if done.returncode not in ok:
        raise tool_error(argv, done.returncode, done.stderr.decode(errors="replace"))
    return done


def _environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}, "LC_ALL": "C"}


def tool_error(argv: Sequence[str], status: int, stderr: str) -> LabError:
    """The LabError for a program that failed; a full disk is named as such."""
    if "No space left on device" in stderr or "Disk quota exceeded" in stderr:
        return disk_full(stderr.strip().splitlines()[-1])
    last = "\n".join(stderr.strip().splitlines()[-4:])
    return LabError(f"{' '.join(argv[:4])} failed with status {status}: {last}")


def check_host_tools(tools: Sequence[str]) -> None:
    """Raise LabError naming every missing program and the packages to install."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({HOST_TOOLS.get(tool, tool) for tool in missing}))
        raise LabError(f"not found: {', '.join(missing)}", hint=f"install {packages} (Debian)")


def need_space(path: Path, amount: int) -> None:
    """Raise LabError now rather than half-way if `path`'s file system has less than `amount` bytes left."""
    free = shutil.disk_usage(path).free
    if free < amount:
        raise disk_full(f"{path} has {free / 1e9:.1f} GB left, {amount / 1e9:.1f} GB are needed")


def pipeline(stages: Sequence[Sequence[str]], *, timeout: float) -> None:
    """Run programs joined by pipes (no shell). Raises LabError for the first that failed or at the deadline."""
    processes: list[subprocess.Popen[bytes]] = []
    previous = None
    env = _environment()
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as files:
        # Into files, not pipes: nobody has to read what a stage says while it runs.
        messages = [files.enter_context(tempfile.TemporaryFile()) for _ in stages]
        try:
            for index, argv in enumerate(stages):
                process = spawn.spawn(
                    argv,
                    stdin=previous or subprocess.DEVNULL,
                    stderr=messages[index],
                    env=env,
                    new_session=False,
                    stdout=subprocess.PIPE if index < len(stages) - 1 else subprocess.DEVNULL,
                    umask=0o022,
                )
                if previous is not None:
                    previous.close()
                previous = process.stdout
                processes.append(process)
            for process in reversed(processes):  # the last stage ends last
                process.wait(max(0.0, deadline - time.monotonic()))
        except FileNotFoundError as error:
            package = HOST_TOOLS.get(error.filename, error.filename)
            raise LabError(f"{error.filename} is not installed", hint=f"install {package} (Debian)") from error
        except subprocess.TimeoutExpired as error:
            names = " | ".join(stage[0] for stage in stages)
            raise LabError(f"{names} did not end within {timeout:g} s") from error
        finally:
            if previous is not None:
                previous.close()
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        # The stage that broke first is the cause: later ones see an early end, earlier ones a closed pipe (-13).
        for argv, process, message in zip(stages, processes, messages, strict=True):
            if process.returncode not in (0, -13):
                raise tool_error(argv, process.returncode, _tail(message))


def _tail(message: IO[bytes]) -> str:
    """The end of a program's output."""
    size = message.seek(0, os.SEEK_END)
    message.seek(max(0, size - TAIL_BYTES))
    return message.read().decode(errors="replace")
