# SPDX-License-Identifier: GPL-2.0-or-later
"""Running host programs: argv only, C locale, always a deadline, and errors that say what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from panthorlab import spawn
from panthorlab.errors import LabError
from panthorlab.kernel.toolchain import HOST_TOOLS

TREE_BYTES = 2_500_000_000  # an unpacked kernel tree and the files of one build
# In a git hook these name the repository that was committed to, and would win over `git -C`.
_HOOK_VARIABLES = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_QUARANTINE_PATH",
})


def run(
    argv: Sequence[str], *, timeout: float, cwd: Path | None = None, stdin: bytes = b"",
    env: Mapping[str, str] | None = None, ok: Sequence[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run argv to its end. Raises LabError if it is not installed, outlives `timeout` or exits outside `ok`."""
    try:
        done = spawn.run(argv, cwd=cwd, stdin=stdin, timeout=timeout, env={**_environment(), **(env or {})})
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise LabError(f"{cwd}: no such directory") from error
        raise LabError(
            f"{argv[0]} is not installed", hint=f"install {HOST_TOOLS.get(argv[0], argv[0])} (Debian)",
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


def disk_full(detail: str) -> LabError:
    return LabError(
        f"the disk is full: {detail}",
        hint="free some space (old trees and kernels in the cache: `panthorlab doctor`), or set XDG_CACHE_HOME",
    )


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk met by our own writes into the LabError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(str(error)) from error
        raise


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
    try:
        for index, argv in enumerate(stages):
            process = spawn.spawn(
                argv, stdin=previous or subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, new_session=False,
                stdout=subprocess.PIPE if index < len(stages) - 1 else subprocess.DEVNULL, umask=0o022,
            )
            if previous is not None:
                previous.close()
            previous = process.stdout
            processes.append(process)
        # The last stage ends last; the messages of all are short, so reading them in turn cannot block.
        errors = [_finish(process, timeout) for process in reversed(processes)][::-1]
    except FileNotFoundError as error:
        package = HOST_TOOLS.get(error.filename, error.filename)
        raise LabError(f"{error.filename} is not installed", hint=f"install {package} (Debian)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{stages[-1][0]} did not end within {timeout:g} s") from error
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    # The stage that broke first is the cause: later ones see an early end, earlier ones a closed pipe (-13).
    for argv, process, text in zip(stages, processes, errors, strict=True):
        if process.returncode not in (0, -13):
            raise tool_error(argv, process.returncode, text)


def _finish(process: subprocess.Popen[bytes], timeout: float) -> str:
    assert process.stderr is not None  # noqa: S101 - opened as a pipe above
    # Not communicate(): the stdout of the earlier stages belongs to the next one.
    text = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    process.wait(timeout)
    return text
