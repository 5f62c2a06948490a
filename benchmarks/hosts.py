#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A matrix over three workers on loopback against the same with local processes, in turns, on the CPUs of this machine.

Both have three boots at once. To be reached: at most 1.1 × as long. The first, in which kernels travel, is apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.loopback_hosts import loopback_hosts  # noqa: E402

WORKERS = 3
GOAL = 1.1


def matrix(kernels: list[str], folder: Path, *how: str) -> float:
    """Seconds of one. Raises CalledProcessError if it could not be judged."""
    asked = [word for kernel in kernels for word in ("--kernel", kernel)]
    asked += ["--suite", "heap-exit-claim", "--time", "exact", "--iterations", "12", "--boots", str(WORKERS)]
    begin = time.perf_counter()
    argv = [sys.executable, "-m", "panthorlab", "matrix", *asked, *how, "--quiet", "--json", "--output", str(folder)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    if done.returncode not in (0, 1):  # 1: a kernel is bad, which is as good to measure
        raise subprocess.CalledProcessError(done.returncode, argv)
    return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", action="append", required=True, metavar="K", help="at least two: store keys")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of each (default: %(default)s)")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}, {len(os.sched_getaffinity(0))} CPUs, {len(options.kernel)} kernels")
    here, there = [], []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "hosts").mkdir()
        with loopback_hosts(folder / "hosts", WORKERS) as hosts:
            first = matrix(options.kernel, folder / "first", "--hosts", hosts.address)
            print(f"first, kernels travel   {first:7.1f} s")
            for turn in range(options.turns):
                here.append(matrix(options.kernel, folder / f"here{turn}", "--jobs", str(WORKERS)))
                there.append(matrix(options.kernel, folder / f"there{turn}", "--hosts", hosts.address))
                print(f"turn {turn + 1}   local {here[-1]:7.1f} s   {WORKERS} workers {there[-1]:7.1f} s", flush=True)
    ratio = statistics.median(there) / statistics.median(here)
    print(f"medians: {ratio:.3f} × (to be reached: {GOAL} ×)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
