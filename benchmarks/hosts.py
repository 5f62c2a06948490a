#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A matrix over three workers on loopback against the same with local processes, in turns, on the CPUs of this machine.

Both have three boots at once. To be reached: at most 1.1 × as long. The first, in which kernels travel, is apart. On a
busy machine only processor time says something: of panthorlab, of scheduler and workers, and of all that they ran.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.loopback_hosts import LoopbackHosts, loopback_hosts  # noqa: E402

WORKERS = 3
GOAL = 1.1


@dataclass(frozen=True)
class Cost:
    """Seconds that one took, and of processors."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:7.1f} s ({self.processor:6.1f} s of processors)"


def matrix(asked: Sequence[str], folder: Path, hosts: LoopbackHosts | None = None) -> Cost:
    """One, here or on hosts. Raises CalledProcessError if it could not be judged."""
    how = ("--jobs", str(WORKERS)) if hosts is None else ("--hosts", hosts.address)
    argv = [sys.executable, "-m", "panthorlab", "matrix", *asked, *how, "--quiet", "--json", "--output", str(folder)]
    wall, processor = time.perf_counter(), spent(hosts)
    done = subprocess.run(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    if done.returncode not in (0, 1):  # 1: a kernel is bad, which is as good to measure
        raise subprocess.CalledProcessError(done.returncode, argv)
    return Cost(time.perf_counter() - wall, spent(hosts) - processor)


def spent(hosts: LoopbackHosts | None) -> float:
    """Processor time so far of all that has ended here, and of the hosts with all that has ended there."""
    here = resource.getrusage(resource.RUSAGE_CHILDREN)
    there = 0
    for process in (hosts.scheduler, *hosts.processes.values()) if hosts else ():
        there += sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return here.ru_utime + here.ru_stime + there / os.sysconf("SC_CLK_TCK")


def ratio(there: Sequence[float], here: Sequence[float]) -> float:
    return statistics.median(there) / statistics.median(here)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", action="append", required=True, metavar="K", help="at least two: store keys")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of each (default: %(default)s)")
    parser.add_argument("--suite", default="heap-exit-claim", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=12, metavar="N", help="of all boots (default: %(default)s)")
    parser.add_argument("--boots", type=int, default=WORKERS, metavar="N", help="of a kernel (default: %(default)s)")
    options = parser.parse_args()
    asked = [word for kernel in options.kernel for word in ("--kernel", kernel)]
    asked += ["--suite", options.suite, "--iterations", str(options.iterations), "--boots", str(options.boots)]
    cpus = len(os.sched_getaffinity(0))
    print(f"load {os.getloadavg()[0]:.2f}, {cpus} CPUs, {len(options.kernel)} kernels, {options.boots} boots of each")
    here: list[Cost] = []
    there: list[Cost] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "hosts").mkdir()
        with loopback_hosts(folder / "hosts", WORKERS) as hosts:
            print(f"first, kernels travel   {matrix(asked, folder / 'first', hosts)}", flush=True)
            for turn in range(options.turns):
                here.append(matrix(asked, folder / f"here{turn}"))
                there.append(matrix(asked, folder / f"there{turn}", hosts))
                print(f"turn {turn + 1}   local {here[-1]}   {WORKERS} workers {there[-1]}", flush=True)
    walls = ratio([cost.wall for cost in there], [cost.wall for cost in here])
    processors = ratio([cost.processor for cost in there], [cost.processor for cost in here])
    print(f"medians: {walls:.3f} × (to be reached: {GOAL} ×), of processor time {processors:.3f} ×")
    return 0


if __name__ == "__main__":
    sys.exit(main())
