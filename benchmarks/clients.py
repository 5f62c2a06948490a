# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of other people's clients on an emulated board, and of the overlays that bring them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from figures import Figure, seconds
from on_board import booted

from panthorlab.board.api import BootedBoard
from panthorlab.board.emulated.overlay.assemble import find
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel

TIMEOUT = 300.0
INFO = ("/usr/bin/vulkaninfo", "--summary")
CUBE_SECONDS = 5
CUBE = ("/usr/bin/vkmark", "--winsys", "headless", "-b", f"cube:duration={CUBE_SECONDS}")
ROUNDS = 500


def _overlay(name: str) -> Path:
    return find(name, lambda text: print(text, file=sys.stderr))


def _run(board: BootedBoard, argv: Sequence[str]) -> tuple[str, float]:
    """What it prints, and how many seconds it takes in the host's time."""
    begin = time.monotonic()
    done = board.shell.run(argv, timeout=TIMEOUT)
    took = time.monotonic() - begin
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.status:
        raise LabError(f"{argv[0]} ended with status {done.status}: {text[-500:]}")
    return text, took


def _processor_seconds() -> float:
    """What our descendants, among them QEMU and the model, have had of processors: no matter who else is there."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            words = file.read_text().rpartition(")")[2].split()
            parents[int(file.parent.name)] = int(words[1])
            ticks[int(file.parent.name)] = int(words[11]) + int(words[12])

    def ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return sum(spent for process, spent in ticks.items() if ours(process)) / os.sysconf("SC_CLK_TCK")


def _frames(board: BootedBoard) -> tuple[int, float]:
    """Frames a second, and frames a second of processor time."""
    before = _processor_seconds()
    text, _ = _run(board, CUBE)
    spent = _processor_seconds() - before
    rate = int(_matching(r"FPS: (\d+)", text))
    return rate, rate * CUBE_SECONDS / spent


def _uptime(board: BootedBoard) -> float:
    return float(board.shell.get("/proc/uptime").split()[0])


def _matching(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise LabError(f"it did not print {pattern}: {text[-500:]}")
    return found[1]


def vulkan(kernel: Kernel) -> Iterator[Figure]:
    """Of PanVK. The first client of a boot reads its libraries for the first time."""
    with booted(kernel, overlay=_overlay("mesa-vulkan")) as (board, steps):
        text, first = _run(board, INFO)
        uptime = _uptime(board)
        _matching(r"deviceName\s*= (Mali.*)", text)
        again = min(_run(board, INFO)[1] for _ in range(3))
        marks = [_frames(board) for _ in range(3)]
    yield Figure("vulkaninfo, first after boot", "≤ 3 s", seconds(first), {
        "again, best of 3": seconds(again),
        "from the start of the model to its end": seconds(steps["GPU probed"] + first),
        "guest uptime at its end": seconds(uptime),
    })  # fmt: skip
    yield Figure("vkmark cube, best of 3", "≥ 200 /s", f"{max(marks)[0]} frames/s", {
        "least": f"{min(marks)[0]} frames/s",
        "per second of processor time, best": f"{max(rate for _, rate in marks):.0f} frames",
    })  # fmt: skip


def compute(kernel: Kernel) -> Figure:
    """Each round is three dispatches, one of them indirect, an event, a barrier and two timelines."""
    with booted(kernel, overlay=_overlay("mesa-compute")) as (board, _):
        short = min(_run(board, ("/usr/bin/vk-compute", "--rounds", "1"))[1] for _ in range(3))
        long = min(_run(board, ("/usr/bin/vk-compute", "--rounds", str(ROUNDS)))[1] for _ in range(3))
    return Figure("vk-compute, rounds of 3 dispatches, best of 3", "", f"{(ROUNDS - 1) / (long - short):.0f} /s",
                  {"process, device, one round": seconds(short)})  # fmt: skip


def overlays(kernel: Kernel) -> Iterator[Figure]:
    """What an overlay costs a boot, in time and in the board's memory."""
    for name in (None, "mesa-vulkan", "mesa-compute", "mesa-gl"):
        with booted(kernel, overlay=_overlay(name) if name else None) as (board, steps):
            memory = board.shell.get("/proc/meminfo").decode()
        yield Figure(f"boot with {name or 'no overlay'}, to the probed GPU", "", seconds(steps["GPU probed"]), {
            "model, initramfs, QEMU's process": seconds(steps["QEMU started"]),
            "board's memory that is left": f"{int(_matching(r'MemAvailable: *([0-9]+)', memory)) / 1024:.0f} MiB",
        })  # fmt: skip
