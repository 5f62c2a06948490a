# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of one booted emulated board: its boot, an iteration, a register read, a job."""

from __future__ import annotations

import itertools
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from figures import Figure, milliseconds, seconds

from panthorlab.board.api import BootedBoard
from panthorlab.board.boardtime import TimeName
from panthorlab.board.registry import open_board
from panthorlab.errors import LabError
from panthorlab.kernel import store
from panthorlab.kernel.model import Kernel
from panthorlab.run.kernels import resolve_kernel

BOARD = "qemu-g610"
BOOTS = 3
ITERATIONS = 100
TIMEOUT = 120.0
_MARKER = re.compile(rb"^\d+,\d+,(\d+),[^;]*;panthorlab: (begin|end) id=(\S+)", re.MULTILINE)
_RESULT = re.compile(rb"^(?:not )?ok \d+ \S+ # id=(\S+) .*\bus=(\d+)", re.MULTILINE)


def find_kernel(name: str | None) -> Kernel:
    """The kernel called so, as `panthorlab run --kernel` takes it; by default the one of the store last used."""
    if name is not None:
        with tempfile.TemporaryDirectory() as scratch:
            return resolve_kernel(name, log=Path(scratch, "build.log"))
    kernel = next(store.kernels(), None)
    if kernel is None:
        raise LabError("there is no kernel in the store", hint="`panthorlab build` makes some")
    return kernel


@contextmanager
def booted(
    kernel: Kernel,
    time_name: TimeName = TimeName.HOST,
    params: Mapping[str, str] | None = None,
    overlay: Path | None = None,
) -> Iterator[tuple[BootedBoard, dict[str, float]]]:
    """A board, and seconds from the beginning to each step of its boot. In the host's time, of which the guest's own
    clock is one here."""
    steps: dict[str, float] = {}
    begin = time.monotonic()

    def note(step: str) -> None:
        steps["agent answered" if step.startswith("agent answered") else step] = time.monotonic() - begin

    with (
        tempfile.TemporaryDirectory() as logs,
        open_board(BOARD).boot(
            kernel, log_dir=Path(logs), on_progress=note, time=time_name, params=params, overlay=overlay
        ) as board,
    ):
        yield board, steps


def run(board: BootedBoard, *argv: str) -> bytes:
    done = board.shell.run([f"{board.work_dir}/{argv[0]}", *argv[1:]], timeout=TIMEOUT)
    if done.status:
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise LabError(f"{' '.join(argv)} ended with status {done.status}: {text[-500:]}")
    return done.stdout


def _iterate(board: BootedBoard, prefix: str, count: int) -> tuple[bytes, dict[str, tuple[float, float]]]:
    """Its output, and the guest time of begin and end of each iteration that the log still holds, in order."""
    program = f"{board.work_dir}/heap-exit"
    output = run(board, "iterate", "--name", "exit", "--prefix", prefix, "--count", str(count), "--",
                  program, "--mode", "exit")  # fmt: skip
    begins: dict[str, float] = {}
    spans: dict[str, tuple[float, float]] = {}
    for stamp, kind, identity in _MARKER.findall(board.shell.get("/dev/kmsg")):
        name, at = identity.decode(), int(stamp) / 1e6
        if not name.startswith(f"{prefix}-"):
            continue
        if kind == b"begin":
            begins[name] = at
        else:
            spans[name] = begins[name], at
    return output, spans


def boot(kernel: Kernel) -> Figure:
    """The best of some boots: on a busy machine the others say more about the machine."""
    runs: list[tuple[float, dict[str, float]]] = []
    for _ in range(BOOTS):
        with booted(kernel) as (board, steps):
            _, spans = _iterate(board, "first", 1)
            runs.append((spans["first-0"][0], steps))
    uptime, steps = min(runs, key=lambda run: run[0])
    started, answered = steps["QEMU started"], steps["agent answered"]
    loaded, probed = steps["modules loaded"], steps["GPU probed"]
    return Figure("boot to first iteration, guest uptime", "≤ 0.6 s", seconds(uptime), {
        "model, initramfs, QEMU's process (host time)": seconds(started),
        "QEMU, kernel, init (host time)": seconds(answered - started),
        "modules (host time)": seconds(loaded - answered),
        "probe, render node (host time)": seconds(probed - loaded),
    })  # fmt: skip


def iteration(kernel: Kernel) -> Figure:
    """One iteration of the claim workload `exit`, in guest time, without the log being followed."""
    with booted(kernel) as (board, _):
        _iterate(board, "warm", 20)
        output, spans = _iterate(board, "it", ITERATIONS)
    program = {name.decode(): int(us) / 1e6 for name, us in _RESULT.findall(output)}
    times = list(spans.values())
    sentinel = [end - begin - program[name] for name, (begin, end) in spans.items()]
    between = [later[0] - earlier[1] for earlier, later in itertools.pairwise(times)]
    whole = [later[0] - earlier[0] for earlier, later in itertools.pairwise(times)]
    return Figure("one iteration of heap-exit/exit, median", "", milliseconds(statistics.median(whole)), {
        "program": milliseconds(statistics.median(program.values())),
        "sentinel": milliseconds(statistics.median(sentinel)),
        "log and result": milliseconds(statistics.median(between)),
    })  # fmt: skip


def _facts(output: bytes) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in re.findall(rb"^# (\w+) (\d+)$", output, re.MULTILINE)}


def register_read(kernel: Kernel) -> Figure:
    """LATEST_FLUSH read by user space: it costs what a read by the driver costs."""
    with booted(kernel) as (board, _):
        run(board, "gpu-job", "--mode", "reads", "--count", "500")
        facts = _facts(run(board, "gpu-job", "--mode", "reads", "--count", "10000"))
    return Figure("guest register read, round trip, median", "≤ 25 µs", f"{facts['ns_per_read_median'] / 1000:.1f} µs",
                  {"least of 100 groups": f"{facts['ns_per_read_min'] / 1000:.1f} µs"})  # fmt: skip


def job(kernel: Kernel) -> Figure:
    with booted(kernel) as (board, _):
        run(board, "gpu-job", "--mode", "stores", "--count", "100")
        facts = _facts(run(board, "gpu-job", "--mode", "stores", "--count", "1000"))
    mean, median, least = (facts[f"us_per_job{kind}"] / 1e6 for kind in ("", "_median", "_min"))
    return Figure("submit to completion, one at a time, median", "≤ 1.5 ms", milliseconds(median),
                  {"mean": milliseconds(mean), "least": milliseconds(least)})  # fmt: skip
