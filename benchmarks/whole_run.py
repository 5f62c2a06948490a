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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, seconds

from panthorlab.errors import LabError

ROOT = Path(__file__).resolve().parents[1]
CLAIM = ("--suite", "heap-exit-claim")
LIMIT = 3600.0
SAMPLE = 0.5  # seconds
MIB = 1 << 10  # kB


@dataclass(frozen=True)
class Run:
    """`memory`: peaks in kB by kind of process, and `sum`, the most they had together."""

    wall: float
    events: Sequence[dict[str, Any]]
    memory: dict[str, int]


def validate(*arguments: str, cache: Path | None = None, environment: Mapping[str, str] = os.environ) -> Run:
    """Run it. Raises LabError if there is no verdict."""
    environment = {**environment, "PYTHONPATH": str(ROOT), **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
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
                watch.end()
                process.terminate()
        wall = time.monotonic() - begin
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
        self._ended = threading.Event()
        self.peaks: dict[str, int] = {"sum": 0}

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE):
            parents = _parents()
            total = 0
            for pid in parents:
                kind = "controller" if pid == self._pid else _kind(pid) if _below(pid, self._pid, parents) else ""
                if kind:
                    size = _own_memory(pid)
                    total += size
                    self.peaks[kind] = max(self.peaks.get(kind, 0), size)
            self.peaks["sum"] = max(self.peaks["sum"], total)


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _kind(pid: int) -> str:
    kinds = {b"panthorlab.run.plugin": "worker, each", b"panthorlab.gpu": "model, each"}
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return next((kind for word, kind in kinds.items() if word in command), "")
    return ""


def _own_memory(pid: int) -> int:
    """In kB; what is shared with others counts in parts, and shared memory, which is the guest's, not at all."""
    with suppress(OSError):
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        return sum(int(fields[name].split()[0]) for name in ("Pss_Anon", "Pss_File"))
    return 0
