# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of boards of the virtual lab: exchanging a module instead of booting, and two boards instead of one."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import whole_run
from figures import Figure, seconds

from panthorlab.errors import LabError
from tests.virtual_lab import command
from tests.virtual_lab.control import LabClient

BOARDS = ("virtual-rk", "virtual-rk-2")
FEW, MANY = "3", "120"
PAIRS = "3"


def module_swap() -> Figure:
    """A load of the second kernel of a pair with its few iterations: the same slots, once swapped, once booted."""
    with _lab(1) as environment:
        runs = {
            method: whole_run.validate("--board", BOARDS[0], "--boot-method", method, *whole_run.CLAIM,
                                       "--iterations", FEW, "--boots", PAIRS, environment=environment)
            for method in ("uboot-tftp", "module-swap")
        }  # fmt: skip
    swapped = {
        event["slot"]
        for event in _named(runs["module-swap"], "board")
        if event["facts"]["boot_method"] == "module-swap"
    }
    times = {method: statistics.median(_slots(run)[slot] for slot in swapped) for method, run in runs.items()}
    split = {f"{method}, a load": seconds(time) for method, time in times.items()}
    split |= {f"{method}, whole run": seconds(run.wall) for method, run in runs.items()}
    return Figure(f"module swap, {len(swapped)} loads, {FEW} iterations each, median", "≥ 3×",
                  f"{times['uboot-tftp'] / times['module-swap']:.1f}×", split)  # fmt: skip


def two_boards() -> Figure:
    """The iterations of a run, on one board and on two; each board, with its GPU model, has one CPU. Raises LabError if
    it is the same one, which happens when boards of other labs are on."""
    with _lab(2) as environment:
        phases = {}
        for boards, boots in ((BOARDS[:1], "2"), (BOARDS, "1")):
            named = [word for board in boards for word in ("--board", board)]
            run = whole_run.validate(*named, *whole_run.CLAIM, "--iterations", MANY, "--boots", boots,
                                     environment=environment)  # fmt: skip
            phases[len(boards)] = max(_busy(run).values())
            lab = LabClient(Path(environment["PANTHORLAB_LAB"]).parent)
            if len({lab.order("state", board=board)["cpu"] for board in boards}) < len(boards):
                raise LabError("both boards had the same CPU", hint="end the other labs and emulated boards first")
    return Figure("iterations on two boards, part of one board's time", "≤ 0.6", f"{phases[2] / phases[1]:.2f}",
                  {f"{count} board{'s' * (count > 1)}": seconds(phase) for count, phase in phases.items()})  # fmt: skip


@contextmanager
def _lab(boards: int) -> Iterator[Mapping[str, str]]:
    """A lab, and the environment in which panthorlab finds its boards."""
    with tempfile.TemporaryDirectory(prefix="panthorlab-lab-") as folder:
        process = command.start(Path(folder), boards=boards)
        try:
            yield command.environment(Path(folder))
        finally:
            command.stop(process)


def _named(run: whole_run.Run, name: str) -> Sequence[Mapping[str, Any]]:
    return [event for event in run.events if event["event"] == name]


def _slots(run: whole_run.Run) -> dict[str, float]:
    """Seconds from the beginning to the end of each slot's last boot."""
    began = {event["slot"]: event["time"] for event in _named(run, "boot-start")}
    return {event["slot"]: event["time"] - began[event["slot"]] for event in _named(run, "boot-end")}


def _busy(run: whole_run.Run) -> dict[str, float]:
    """Seconds in which each board did iterations."""
    up = {event["boot"]: event for event in _named(run, "board")}
    found: dict[str, float] = defaultdict(float)
    for event in _named(run, "boot-end"):
        if event["boot"] in up:
            found[up[event["boot"]]["name"]] += event["time"] - up[event["boot"]]["time"]
    return found
