# SPDX-License-Identifier: GPL-2.0-or-later
"""Start processes that cannot outlive this one, not even when it is killed with SIGKILL.

The kernel sends PR_SET_PDEATHSIG when the *thread* that forked ends, so all children are forked by one thread that
ends with the process. `setpriv` sets it, then `sh` checks that the parent was not gone before that, and both exec.
"""

from __future__ import annotations

import errno
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

_GUARD = 'test "$PPID" = "$0" && exec "$@"'  # constant; what is run comes as arguments
_lock = threading.Lock()
_spawners: dict[int, _Spawner] = {}


class _Spawner:
    """The one thread of this process that forks."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._jobs = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def do(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, future))
        return future.result()

    def _serve(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)


def spawn(
    argv: Sequence[str],
    *,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cpu: int | None = None,
    new_session: bool = True,
    umask: int = -1,
    death: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `argv`. It gets `death` when this process ends.

    `cpu`: the only one it may run on. `new_session`: out of reach of the terminal's Ctrl-C. Raises OSError; for a
    program that is not there, FileNotFoundError with its name.
    """
    program = cwd / argv[0] if cwd and "/" in argv[0] else argv[0]
    if (cwd is None or cwd.is_dir()) and shutil.which(program, path=(env or os.environ).get("PATH")) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    guard = ["/bin/sh", "-c", _GUARD, str(os.getpid()), *argv]
    # of the system, whatever PATH the program is to see
    setpriv = shutil.which("setpriv", path=os.defpath) or "setpriv"
    command = [setpriv, "--pdeathsig", death.name.removeprefix("SIG"), *guard]

    def job() -> subprocess.Popen[bytes]:
        allowed = os.sched_getaffinity(0)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})  # of this thread; the child inherits it
        try:
            return subprocess.Popen(
                command,
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=None if env is None else dict(env),
                pass_fds=tuple(pass_fds),
                start_new_session=new_session,
                umask=umask,
            )
        finally:
            if cpu is not None:
                os.sched_setaffinity(0, allowed)

    with _lock:
        spawner = _spawners.get(os.getpid())
        if spawner is None:
            spawner = _spawners[os.getpid()] = _Spawner()
    return spawner.do(job)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` to its end in our session, as `subprocess.run` does. Raises OSError, TimeoutExpired."""
    with spawn(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env, new_session=False
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def end(process: subprocess.Popen[bytes], *, gently: float) -> int:
    """SIGTERM, `gently` seconds to obey, then SIGKILL; its return code. Safe when it has ended."""
    if process.poll() is None and gently > 0:
        process.terminate()
        try:
            return process.wait(gently)
        except subprocess.TimeoutExpired:
            pass
    process.kill()
    return process.wait(30)
