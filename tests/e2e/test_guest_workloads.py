# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest programs on a real kernel: every mode works, and what the kernel says falls between the right markers."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.boardtime import TimeName
from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.store import load, read_record

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

CLAIM = {"exit": 0, "sigkill": 9, "sigsegv": 11, "exec": 0, "destroy": 0}
OTHERS = (
    "groups",
    "heaps",
    "chunks",
    "slots",
    "vms",
    "fork-storm",
    "fd-inherit",
    "fd-pass",
    "heap-destroy",
    "vm-destroy-live",
    "clients",
    "no-heap-set",
    "idle-exit",
    "destroy-wait",
)
JOBS = (
    "info",
    "store",
    "stores",
    "busy",
    "suspend-loop",
    "bad-fetch",
    "bad-store",
    "bad-instr",
    "sync-wait",
    "resume-state",
    "late-write",
    "spin",
)
RESULT = re.compile(
    rb"^(ok|not ok) \d+ \S+ # id=\S+ status=-?\d+ signal=\d+ us=\d+ sentinel=(ok|fail|none)$", re.MULTILINE
)
MARKER = re.compile(r"panthorlab: (begin|end) id=t-(\d+)")
FAULT = re.compile(r"Unhandled Page fault in AS\d+ at VA (0x[0-9A-F]{16})")
CONTEXT = re.compile(rb"^    # gpu heap-context va=(0x[0-9a-f]+) size=0x40 heap=0$", re.MULTILINE)


@pytest.fixture(scope="session")
def side_kernel(request: pytest.FixtureRequest) -> Callable[[str], Kernel]:
    """The kernel of one side of the default run; or of the directory in $PANTHORLAB_E2E_BEFORE or _AFTER."""

    def get(side: str) -> Kernel:
        given = os.environ.get(f"PANTHORLAB_E2E_{side.upper()}")
        if given:
            return read_record(Path(given, "kernel.json"))
        result: Any = request.getfixturevalue("default_run").json
        kernel = load(result["sides"][side]["kernel"])
        assert kernel is not None
        return kernel

    return get


@dataclass
class Log:
    """What kmsg-follow has written so far."""

    data: bytearray = field(default_factory=bytearray)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def add(self, chunk: bytes) -> None:
        with self.grown:
            self.data += chunk
            self.grown.notify_all()

    def until(self, text: bytes) -> str:
        """All of it, once it has `text`."""
        with self.grown:
            assert self.grown.wait_for(lambda: text in self.data, timeout=60), f"{text!r} never came"
            return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class Booted:
    board: BootedEmulatedBoard
    log: Log

    def iterate(self, count: int, *program: str, options: tuple[str, ...] = ()) -> tuple[int, bytes]:
        argv = ["iterate", "--name", "test", "--prefix", "t", "--count", str(count), "--timeout-ms", "60000", *options]
        done = self.board.shell.run([*argv, "--", *program], timeout=180)
        return done.status, done.stdout


@pytest.fixture(scope="module")
def boot(side_kernel: Callable[[str], Kernel], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    @contextmanager
    def start(side: str, **params: str) -> Iterator[Booted]:
        board = EmulatedBoard("guest", EmulatedFile.model_validate({"type": "emulated"}))
        gpu = {f"gpu.{name.replace('__', '.')}": value for name, value in params.items()}
        # The log comes by itself, when the guest runs: in exact time it does so for whoever waits for a command alone.
        with board.boot(
            side_kernel(side), log_dir=tmp_path_factory.mktemp("guest"), params=gpu, time=TimeName.HOST
        ) as booted:
            log = Log()
            follow = booted.shell.start(["kmsg-follow"], on_stdout=log.add)
            yield Booted(booted, log)
            follow.kill()

    return start


@pytest.fixture(scope="module")
def fixed(boot: Callable[..., Any]) -> Iterator[Booted]:
    with boot("after") as booted:
        yield booted


@pytest.mark.parametrize("mode", [*CLAIM, *OTHERS])
def test_heap_exit_mode(fixed: Booted, mode: str) -> None:
    options = ("--expect-signal", str(CLAIM[mode])) if CLAIM.get(mode) else ()
    status, out = fixed.iterate(2, "heap-exit", "--mode", mode, options=options)
    assert status == 0, out.decode()
    assert [result[0] for result in RESULT.findall(out)] == [b"ok", b"ok"]
    assert out.count(b"\n    # terminations ") == 2
    assert b"    # gpu heap-chunk va=0x" in out
    assert b"    # gpu user-bo va=0x1000000 size=0x1000 name=stream\n" in out
    assert CONTEXT.search(out)


@pytest.mark.parametrize("mode", JOBS)
def test_gpu_job_mode(fixed: Booted, mode: str) -> None:
    done = fixed.board.shell.run(["gpu-job", "--mode", mode], timeout=60)
    assert done.status == 0, done.stdout.decode()
    lines = done.stdout.decode().splitlines()
    planned = int(lines[1].removeprefix("1.."))
    assert [line.split()[1] for line in lines if line.startswith("ok ")] == [str(n + 1) for n in range(planned)]


def test_tiler_out_of_memory(boot: Callable[..., Any]) -> None:
    with boot("after", tiler__chunks_per_job="1") as booted:
        done = booted.board.shell.run(["gpu-job", "--mode", "oom"], timeout=60)
    assert done.status == 0, done.stdout.decode()
    assert b"SKIP" not in done.stdout
    assert b"# exhausted heap: " in done.stdout


def attribute(log: str) -> Counter[str]:
    """Faults by where they fell: an iteration that binds its heap (even), one that does not (odd), or no iteration."""
    current: int | None = None
    fell: Counter[str] = Counter()
    for line in log.splitlines():
        if marker := MARKER.search(line):
            current = int(marker[2]) if marker[1] == "begin" else None
        elif FAULT.search(line):
            fell["outside" if current is None else "unbound" if current % 2 else "bound"] += 1
    return fell


@pytest.mark.parametrize("delay", ["0", "3", "10"])
def test_findings_stay_in_their_iteration(boot: Callable[..., Any], delay: str) -> None:
    """Only every second iteration can fault: a fault in another one, or between markers, has slipped."""
    with boot("before", writeout__delay_ms=delay) as booted:
        status, out = booted.iterate(120, "heap-exit", "--mode", "exit", "--bind-every", "2")
        fell = attribute(booted.log.until(b"panthorlab: end id=t-119"))
    assert status == 0, out.decode()[-2000:]
    assert fell["bound"] >= 30, fell
    assert fell["unbound"] == fell["outside"] == 0, fell


def test_without_sentinel_they_slip(boot: Callable[..., Any]) -> None:
    """The test above can fail: without the sentinel, a slow write-out faults after the end marker."""
    with boot("before", writeout__delay_ms="10") as booted:
        status, _ = booted.iterate(40, "heap-exit", "--mode", "exit", "--bind-every", "2", options=("--no-sentinel",))
        fell = attribute(booted.log.until(b"panthorlab: end id=t-39"))
    assert status == 0
    assert fell["unbound"] + fell["outside"] >= 5, fell


def test_fault_is_at_the_printed_context(boot: Callable[..., Any]) -> None:
    with boot("before") as booted:
        _, out = booted.iterate(10, "heap-exit", "--mode", "exit")
        log = booted.log.until(b"panthorlab: end id=t-9")
    contexts = {int(va, 16) for va in CONTEXT.findall(out)}
    faults = [int(va, 16) for va in FAULT.findall(log)]
    assert faults
    assert set(faults) <= contexts
