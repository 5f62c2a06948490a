# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of many runs and the report of a large one, from logs as the record writes them. No board."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from figures import Figure, seconds

from panthorlab.outcome import Outcome
from tests.made_runs import FIXED, NIGHT, NOON, MadeRun, write_run

RUNS = 1000
ITERATIONS = 10_000


def _run(number: int) -> MadeRun:
    """30 workloads and 60 tests on two kernels, an eighth of a night after the one before."""
    rates = {
        f"suite-{one // 6}/workload-{one}": {"before": (one % 2, 2), "after": (int((number + one) % 37 == 0), 2)}
        for one in range(30)
    }
    failing = [(number + one) % 97 == 0 for one in range(60)]
    tests = {
        f"suite_{one // 6}::test_{one}": {"before": Outcome.PASS, "after": Outcome.FAIL if bad else Outcome.PASS}
        for one, bad in enumerate(failing)
    }
    return replace(
        FIXED,
        rates=rates,
        tests=tests,
        started=NOON + number * NIGHT / 8,
        release=f"6.12.{number // 20}",
        signature=f"mmu-fault:panthor:EXCEPTION_{number % 20}:WRITE",
        boots=1,
    )


def _command(*arguments: str | Path) -> float:
    """Seconds of the command, from the shell's view. Raises CalledProcessError if it did not end well."""
    start = time.perf_counter()
    kept = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-m", "panthorlab", *map(str, arguments)], env=kept, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def history(count: int = RUNS) -> Iterator[Figure]:
    """First all logs are read, then none has changed."""
    with tempfile.TemporaryDirectory(prefix="panthorlab-history-") as scratch:
        runs = Path(scratch) / "runs"
        for number in range(count):
            write_run(runs / f"{number:04}", _run(number))
        first = _command("history", runs)
        again = min(_command("history", runs) for _ in range(3))
        size = sum(page.stat().st_size for page in (runs / "history").glob("*.html"))
    yield Figure(
        f"history pages over {count:,} runs", "< 2 s", seconds(again), {"the first time, all logs read": seconds(first)}
    )
    yield Figure("  all five pages", "< 2 MB", f"{size / 1e6:.2f} MB")


def report(iterations: int = ITERATIONS) -> Iterator[Figure]:
    """Verdict, JSON, JUnit and page from the log."""
    each = iterations // 4
    rates = {"heap-exit/exit": {"before": (each // 2, each), "after": (0, each)}}
    with tempfile.TemporaryDirectory(prefix="panthorlab-report-") as scratch:
        run = write_run(Path(scratch) / "run", replace(FIXED, rates=rates))
        yield Figure(
            f"report of a run with {iterations:,} iterations",
            "< 3 s",
            seconds(min(_command("report", run) for _ in range(3))),
        )
