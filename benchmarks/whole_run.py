# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of whole `panthorlab validate` runs: time by phase, and the memory of the processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, seconds

from panthorlab.errors import LabError

ROOT = Path(__file__).resolve().parents[1]
CLAIM = ("--suite", "heap-exit-claim")
LIMIT = 3600.0
SAMPLE = 0.2
MIB = 1 << 10  # kB


@dataclass(frozen=True)
class Run:
    """`memory`: peaks in kB by kind of process, and `sum`, the most they had together."""

    wall: float
    events: Sequence[dict[str, Any]]
    memory: dict[str, int]


def validate(*arguments: str, cache: Path | None = None) -> Run:
    """Run it. Raises LabError if there is no verdict."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    with tempfile.TemporaryDirectory() as scratch, Path(scratch, "log").open("w+b") as log:
        run_dir = Path(scratch, "run")
        argv = [sys.executable, "-m", "panthorlab", "validate", *arguments, "--output", str(run_dir), "--quiet"]
        begin = time.monotonic()
        with subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=ROOT) as process:
            watch = _MemoryWatch(process.pid)
            watch.start()
            try:
                status = process.wait(LIMIT)
            finally:
                process.terminate()
        wall = time.monotonic() - begin
        watch.join()
        if status not in (0, 1, 3):
            log.seek(0)
            raise LabError(f"{' '.join(argv[2:])} ended with status {status}:\n{log.read().decode()[-1000:]}")
        lines = (run_dir / "events.jsonl").read_text().splitlines()
    return Run(wall, [json.loads(line) for line in lines], watch.peaks)


def timing(what: str, goal: str, run: Run) -> Figure:
    """Wall time with its phases. Boots and their iterations overlap, so these are sums over boards."""
    phases: dict[str, float] = defaultdict(float)
    for event in run.events:
        if event["event"] == "phase":
            name = "builds" if event["name"].startswith("build") else event["name"]
            phases[name] += event["seconds"]
    named = {name: seconds(value) for name, value in phases.items()}
    named |= {f"  of these, {name}": text for name, text in _boards(run.events)}
    named["start, comparison, report"] = seconds(run.wall - sum(phases.values()))
    return Figure(what, goal, seconds(run.wall), named)


def _boards(events: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    at: dict[str, dict[str, float]] = defaultdict(dict)
    for event in events:
        if event["event"] in ("boot-start", "board", "boot-end"):
            at[event["boot"]][event["event"]] = event["time"]
    up = [times["board"] - times["boot-start"] for times in at.values() if "board" in times]
    busy = [times["boot-end"] - times["board"] for times in at.values() if {"board", "boot-end"} <= times.keys()]
    iterations = sum(event["event"] == "iteration" for event in events)
    yield f"{len(up)} boots", f"{sum(up):.2f} s of boards"
    yield f"tests, {iterations} iterations", f"{sum(busy):.2f} s of boards"


def memory(run: Run) -> Figure:
    """Guest memory, which the model maps too, is not counted: it is QEMU's."""
    own = {name: f"{kb / MIB:.0f} MiB" for name, kb in run.memory.items() if name != "sum"}
    return Figure("peak memory of controller and model", "≤ 200 MB", f"{run.memory['sum'] / MIB:.0f} MiB", own)


class _MemoryWatch(threading.Thread):
    """Looks at the processes below `pid` until that one has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.peaks: dict[str, int] = {"sum": 0}

    def run(self) -> None:
        while (known := _processes()).get(self._pid, (0, "", 0))[1]:
            total = 0
            for pid, (_, command, kb) in known.items():
                kind = "controller" if pid == self._pid else _kind(command) if _below(pid, self._pid, known) else ""
                if kind:
                    total += kb
                    self.peaks[kind] = max(self.peaks.get(kind, 0), kb)
            self.peaks["sum"] = max(self.peaks["sum"], total)
            time.sleep(SAMPLE)


def _kind(command: str) -> str:
    kinds = {"panthorlab.run.plugin": "worker, each", "panthorlab.gpu": "model, each"}
    return next((kind for word, kind in kinds.items() if word in command), "")


def _below(pid: int, ancestor: int, known: dict[int, tuple[int, str, int]]) -> bool:
    while pid in known and pid != ancestor:
        pid = known[pid][0]
    return pid == ancestor


def _processes() -> dict[int, tuple[int, str, int]]:
    """Parent, command line and memory of its own (kB) of each process; one without command line has ended."""
    found: dict[int, tuple[int, str, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it has ended
        own = sum(int(status.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssFile"))
        found[int(entry.name)] = int(status["PPid"]), command, own
    return found
