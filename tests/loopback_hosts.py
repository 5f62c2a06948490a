# SPDX-License-Identifier: GPL-2.0-or-later
"""A scheduler and workers for `--hosts` on loopback, each worker with a cache of its own, as if it were a machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from distributed import Client

from panthorlab import spawn
from panthorlab.paths import cache_path
from panthorlab.run.hosts.session import slots

PROGRAMS = ("qemu", "debs", "plugins")
"""Of the cache, what is no kernel: nothing to see in fetching it for each worker."""
DEADLINE = 300.0
SELDOM = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL": "1s",
}
"""As `docs/hosts.md` has it: whoever waits for boots takes little from them."""


@dataclass(frozen=True)
class LoopbackHosts:
    """`processes`: the workers in their order, by their addresses; `caches`: theirs. `join`: has one more come, with
    these variables in its environment, and gives its address."""

    address: str
    scheduler: subprocess.Popen[bytes]
    processes: Mapping[str, subprocess.Popen[bytes]]
    caches: Sequence[Path]
    join: Callable[[Mapping[str, str]], str]


@contextmanager
def loopback_hosts(
    folder: Path,
    workers: int,
    own: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
    *,
    resources: str = "boot=1",
    shared: Sequence[str] = PROGRAMS,
    preload: Path | None = None,
) -> Iterator[LoopbackHosts]:
    """In `folder`; ended when it is left. `own`: variables of some workers' environments. `shared`: what of the cache
    they have from here. `preload`: a module that they start with."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    caches = [folder / f"cache{number}" for number in range(workers)]
    started = [_dask(folder / "scheduler.log", "scheduler", "--port", str(port))]

    def start(cache: Path, variables: Mapping[str, str]) -> None:
        number = len(started) - 1
        env = {**cache_of_its_own(cache, shared), **variables}
        options = ["--no-nanny", "--nthreads", "1", "--resources", resources, "--local-directory", str(cache)]
        options += ["--preload", str(preload)] if preload else []
        log = folder / f"worker{number}.log"
        started.append(_dask(log, "worker", address, *options, "--name", str(number), env=env))

    def join(variables: Mapping[str, str]) -> str:
        number = len(started) - 1
        start(folder / f"cache{number}", variables)
        names = _await_workers(address, number + 1, folder)
        return next(name for name, found in names.items() if found == number)

    try:
        for number, cache in enumerate(caches):
            start(cache, own.get(number, {}))
        names = _await_workers(address, workers, folder)
        processes = {name: started[1 + number] for name, number in names.items()}
        yield LoopbackHosts(address, started[0], processes, caches, join)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            spawn.end(process, gently=5)


def _await_workers(address: str, count: int, folder: Path) -> dict[str, int]:
    """The numbers of the workers, by their addresses."""
    with Client(address, timeout=DEADLINE, set_as_default=False) as client:
        deadline = time.monotonic() + DEADLINE
        while len(slots(client)) < count:
            assert time.monotonic() < deadline, "\n".join(log.read_text() for log in folder.glob("*.log"))
            time.sleep(0.1)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return dict(sorted(((name, int(one["name"])) for name, one in workers.items()), key=lambda one: one[1]))


def cache_of_its_own(cache: Path, shared: Sequence[str] = PROGRAMS) -> dict[str, str]:
    """The environment of a worker that keeps its kernels in `cache`."""
    (cache / "panthorlab").mkdir(parents=True)
    for name in shared:
        (cache / "panthorlab" / name).symlink_to(cache_path(name))
    return {**os.environ, "XDG_CACHE_HOME": str(cache)}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _dask(log: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"]
    with log.open("wb") as output:
        return spawn.spawn(argv, stdout=output, stderr=subprocess.STDOUT, env={**(env or os.environ), **SELDOM})
