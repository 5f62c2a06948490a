# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time: what it costs beside the host's time, in pairs of one run, and whether it is exact on a busy machine."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import whole_run
from figures import Figure, seconds
from on_board import booted, run

from panthorlab.board.boardtime import TimeName
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel
from panthorlab.run.exactness import busy_host

ROOT = Path(__file__).resolve().parents[1]
TIMES = (TimeName.EXACT, TimeName.HOST)
READS, ITERATIONS = 20_000, 400
PAIRS = 3
BOOTS, BUSY = 100, 3
"""Boots with one seed, and busy loops on each CPU beside them: with two CPUs, and two boots at a time, a load of 8."""
EXPLORED, RESIDUAL = 60, 600  # seconds
SHORT = ROOT / "benchmarks/suites/test_residual_short.py"


@dataclass(frozen=True)
class Cost:
    wall: float
    processor: float


def _processor() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cost(kernel: Kernel, time_name: TimeName, *argv: str) -> Cost:
    """Of a program on a board, the boot included."""
    before, begin = _processor(), time.monotonic()
    with booted(kernel, time_name) as (board, _):
        run(board, *argv)
    return Cost(time.monotonic() - begin, _processor() - before)


def register(kernel: Kernel) -> Iterator[Figure]:
    """The difference of two boots that read a register rarely and often: what a read costs the host, and its CPUs."""
    for name in TIMES:
        each = list[Cost]()
        for _ in range(PAIRS):
            few, many = (_cost(kernel, name, "gpu-job", "--mode", "reads", "--count", str(n)) for n in (100, READS))
            count = READS - 100
            each.append(Cost((many.wall - few.wall) / count, (many.processor - few.processor) / count))
        yield Figure(f"guest register read, {name} time, host's clock", "≤ 20 µs", _micro([one.wall for one in each]),
                     {"CPU time": _micro([one.processor for one in each])})  # fmt: skip


def _micro(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1e6:.1f} µs"


def iterations(kernel: Kernel) -> Iterator[Figure]:
    """Iterations of `exit` by CPU second, less the boot."""
    for name in TIMES:
        rates = list[float]()
        for _ in range(PAIRS):
            few, many = (_cost(kernel, name, *_iterate(count)) for count in (10, ITERATIONS))
            rates.append((ITERATIONS - 10) / (many.processor - few.processor))
        yield Figure(f"iterations of `exit` by CPU second, {name} time", "≥ 60", f"{statistics.median(rates):.1f}",
                     {"least and greatest": f"{min(rates):.1f} to {max(rates):.1f}"})  # fmt: skip


def _iterate(count: int) -> tuple[str, ...]:
    return ("iterate", "--name", "exit", "--prefix", "it", "--count", str(count), "--", "heap-exit", "--mode", "exit")


def claim() -> Iterator[Figure]:
    for name in TIMES:
        before = _processor()
        done = whole_run.validate(*whole_run.CLAIM, "--time", name)
        figure = whole_run.timing(f"validate, claim only, {name} time", "≤ 15 s", done)
        yield Figure(figure.what, figure.goal, figure.measured, {"CPU time": seconds(_processor() - before)})


def digests(kernel: Kernel) -> Iterator[Figure]:
    """One seed again and again on a machine that is kept busy."""

    def once(_: int) -> str:
        with booted(kernel, TimeName.EXACT, {"gpu.seed": "1"}) as (board, _steps):
            run(board, *_iterate(5))
            digest = board.digest()
        if digest is None:
            raise LabError(f"the board lived in the host's time: {board.facts().get('time_why')}")
        return digest.sha256

    with ExitStack() as loops, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in range(BUSY):
            loops.enter_context(busy_host())
        found = list(pool.map(once, range(BOOTS)))
        load = os.getloadavg()[0]
    most = max(found.count(one) for one in set(found))
    yield Figure(f"equal digests of {BOOTS} boots with one seed", "100", str(most), {"load at the end": f"{load:.1f}"})


def explore(kernel: Kernel) -> Iterator[Figure]:
    begin = time.monotonic()
    found = _explore(
        kernel, 0, "--suite", "heap-exit-claim", "--workload", "heap-exit/exit", "--seconds", f"{EXPLORED}s"
    )
    rate = found["interleavings"] * 60 / (time.monotonic() - begin)
    yield Figure("explore: distinct interleavings of `exit` a minute", "≥ 200", f"{rate:.0f}",
                 {"seeds": str(found["seeds"])})  # fmt: skip
    begin = time.monotonic()
    found = _explore(kernel, 1, "--suite", str(SHORT), "--seconds", f"{RESIDUAL}s")["findings"][0]
    if not found["reproduces"]:
        raise LabError(f"the residual was found and does not come back: {found['text']}")
    yield Figure("residual: from nothing to a short reproducer", "≤ 60 s", seconds(time.monotonic() - begin),
                 {"to make it short": seconds(found["seconds"]), "boots for that": str(found["boots"])})  # fmt: skip


def _explore(kernel: Kernel, status: int, *arguments: str) -> Any:
    """Its JSON. Raises LabError for another exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        argv = [sys.executable, "-m", "panthorlab", "explore", "--kernel", str(kernel.path), *arguments, "--quiet",
                "--json", "--output", f"{scratch}/run"]  # fmt: skip
        done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    if done.returncode != status:
        raise LabError(f"explore ended with status {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
    return json.loads(done.stdout)
