# SPDX-License-Identifier: GPL-2.0-or-later
"""Start processes that cannot outlive the controller, not even when it is killed with SIGKILL.

The kernel sends PR_SET_PDEATHSIG when the *thread* that forked ends, so all children are forked by one thread that
ends with the process. `setpriv` sets it, then `sh` checks that the parent was not gone before that, and both exec.
"""

from __future__ import annotations

import os
import queue
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
    argv: Sequence[str], *, cwd: Path, stdout: IO[bytes] | int, stderr: IO[bytes] | int,
    cpu: int | None = None, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, its stdin empty, its CPU fixed if one is given. Raises OSError."""
    command = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _GUARD, str(os.getpid()), *argv]

    def job() -> subprocess.Popen[bytes]:
        allowed = os.sched_getaffinity(0)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})  # of this thread; the child inherits it
        try:
            return subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                env=None if env is None else dict(env), pass_fds=tuple(pass_fds), start_new_session=True,
            )
        finally:
            if cpu is not None:
                os.sched_setaffinity(0, allowed)

    with _lock:
        spawner = _spawners.get(os.getpid())
        if spawner is None:
            spawner = _spawners[os.getpid()] = _Spawner()
    return spawner.do(job)


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
