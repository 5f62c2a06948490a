# SPDX-License-Identifier: GPL-2.0-or-later
"""Several GPUs in one process: each has its own state, faults and latencies, and what is recorded tells them apart."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.exact import wire
from panthorlab.gpu.exact.device import ExactGpu
from panthorlab.gpu.exact.digest import Digest, gpu_of, place_of
from panthorlab.gpu.exact.loop import ExactLoop
from panthorlab.gpu.exact.order import Orders
from panthorlab.gpu.exact.wire import DUE, Page
from panthorlab.gpu.fw.memory import McuMemoryError
from panthorlab.gpu.fw.ports import McuHangError
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.latency import Latencies
from panthorlab.gpu.layout import Csg
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.params import Params
from panthorlab.gpu.registers import McuStatus
from panthorlab.gpu.trace import ChromeTrace, NoTrace, TraceOfGpu
from panthorlab.gpu.vfio import protocol as p
from panthorlab.gpu.vfio.protocol import Command, Flag, Message

AT = {register.name: register.offset for register in G610.registers}
FLUSH, FLUSHED = 0x3304, 1 << 17


# -- exact time -----------------------------------------------------------------------------------------------------


class Board:
    """GPUs in the time of one CPU, which executes blocks of ten instructions; interrupts arrive at once."""

    def __init__(self, gpus: int, strategy: str = "uniform", record: io.StringIO | None = None) -> None:
        self._fd = os.memfd_create("page")
        os.ftruncate(self._fd, wire.PAGE)
        self._page = Page(self._fd)
        self.errors: list[Exception] = []
        self.orders = io.StringIO()
        self.loop = ExactLoop(self.errors.append, self._page, Latencies(strategy, 3))
        self.loop.orders = Orders(self.orders)
        self.digest = Digest(record)
        self.gpus = [
            ExactGpu(G610, Params(), Reporter(None, io.StringIO(), None, i), NoTrace(), self.loop, i, self.digest, i)
            for i in range(gpus)
        ]
        for gpu in self.gpus:
            for irq in gpu.irqs:
                irq.connect(os.eventfd(0, os.EFD_NONBLOCK))
            gpu.round_trip = lambda gpu=gpu: take_interrupts(gpu)  # type: ignore[misc]

    def run(self, instructions: int) -> None:
        words = self._page._words
        for _ in range(instructions // 10):
            words[1] += 10
            words[2] += 10
            if words[2] >= DUE:
                self.loop.held()

    def flush(self, number: int) -> None:
        gpu = self.gpus[number]
        gpu.write(AT["GPU_INT_MASK"], FLUSHED)
        gpu.write(AT["GPU_CMD"], FLUSH)
        self.run(10_000)
        gpu.write(AT["GPU_INT_CLEAR"], gpu.read(AT["GPU_INT_RAWSTAT"]))

    def close(self) -> None:
        for gpu in self.gpus:
            for irq in gpu.irqs:
                irq.connect(None)
        self._page.close()
        os.close(self._fd)


def take_interrupts(gpu: GpuDevice) -> None:
    for irq in gpu.irqs:
        try:
            assert irq.fd is not None
            os.eventfd_read(irq.fd)
        except BlockingIOError:
            continue


@contextmanager
def board(gpus: int, strategy: str = "uniform", record: io.StringIO | None = None) -> Iterator[Board]:
    made = Board(gpus, strategy, record)
    try:
        yield made
    finally:
        made.close()
    assert not made.errors


def test_one_gpu_has_the_digest_that_it_always_had() -> None:
    with board(1) as alone:
        alone.flush(0)
        alone.flush(0)
        assert alone.digest.hexdigest() == "27a7cce4bf740bffd566ad8a434dc5846fba6c9aa1396f93af76ccf9d1e5d93d"


def test_what_is_recorded_tells_them_apart() -> None:
    digests = set()
    for number in (0, 1):
        record = io.StringIO()
        with board(2, "fixed", record) as two:
            two.flush(number)
            digests.add(two.digest.hexdigest())
        lines = [line.split() for line in record.getvalue().splitlines()]
        assert {gpu_of(int(line[2], 16))[0] for line in lines if line[0] in "RW"} == {number}
        assert [line[2] for line in lines if line[0] == "I"] == [("gpu", "gpu@1")[number]]
    assert len(digests) == 2
    assert gpu_of(place_of(1) | AT["GPU_CMD"]) == (1, AT["GPU_CMD"])


def test_the_order_of_an_iteration_has_both() -> None:
    with board(2, "fixed") as two:
        two.gpus[1].mark(3, begin=True)
        two.flush(0)
        two.flush(1)
        two.gpus[0].mark(3, begin=False)  # whichever of them is told
        (line,) = [json.loads(text) for text in two.orders.getvalue().splitlines()]
    words = [text for text, _ in line["events"]]
    assert {"W GPU_CMD", "I gpu", "W GPU_CMD@1", "I gpu@1"} <= set(words)
    assert {kind for kind, *_ in line["latencies"]} == {"irq gpu", "irq gpu@1"}


def test_one_has_the_same_latencies_whatever_the_other_does() -> None:
    def latencies(flushes: str) -> list[list[object]]:
        with board(2) as two:
            two.gpus[0].mark(1, begin=True)
            for number in flushes:
                two.flush(int(number))
            two.gpus[0].mark(1, begin=False)
            (line,) = [json.loads(text) for text in two.orders.getvalue().splitlines()]
        return [[kind, number, ns] for kind, number, ns, _ in line["latencies"] if not kind.endswith("@1")]

    assert latencies("000") == latencies("0110101")


# -- faults of one are not the other's --------------------------------------------------------------------------------


def make(number: int) -> GpuDevice:
    loop = HostLoop(lambda _error: None, lambda _late: None)
    return GpuDevice(G610, Params(), Reporter(None, io.StringIO(), None, number), NoTrace(), loop)


@pytest.mark.parametrize(
    "error", [lambda gpu: McuHangError(gpu.mcu), lambda gpu: McuMemoryError(gpu.mcu.memory, "nothing there")]
)
def test_a_fault_of_the_firmware_is_its_own_gpus(error: Callable[[GpuDevice], Exception]) -> None:
    first, second = make(0), make(1)
    assert not first.failed(error(second))
    assert first.mcu.status == McuStatus.DISABLED
    assert second.failed(error(second))


def test_events_and_log_name_the_second() -> None:
    events, log = io.StringIO(), io.StringIO()
    for number in (0, 1):
        Reporter(events, log, None, number).once("check", "odd", "odd")
    assert [json.loads(line).get("gpu") for line in events.getvalue().splitlines()] == [None, 1]
    assert [line.split(" ", 1)[1] for line in log.getvalue().splitlines()] == ["check: odd", "GPU 1: check: odd"]


def test_the_trace_has_tracks_of_both(tmp_path: Path) -> None:
    trace = ChromeTrace((tmp_path / "trace").open("w"), lambda: 0.0)
    second = TraceOfGpu(trace, 1)
    for one in (trace, second):
        one.begin("CSG 0", Csg.STATES[1])
        one.instant("CSG 0", "x")
        one.counter("CSG 0", "y", value=1)
        one.end("CSG 0")
    second.close()
    assert not second.on
    events = json.loads((tmp_path / "trace").read_text())
    names = [event["args"]["name"] for event in events if event.get("name") == "thread_name"]
    assert names == ["CSG 0", "GPU1 CSG 0"]


# -- the process ----------------------------------------------------------------------------------------------------


class Client:
    """One end of a connection, as QEMU has one for each GPU."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))

    def read(self, name: str) -> int:
        self._socket.sendall(Message(1, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(AT[name], 0, 4)).encode())
        return int.from_bytes(self._socket.recv(36, socket.MSG_WAITALL)[32:], "little")

    def write(self, name: str, value: int) -> None:
        body = p.REGION_ACCESS.pack(AT[name], 0, 4) + struct.pack("<I", value)
        self._socket.sendall(Message(1, Command.REGION_WRITE, Flag.NO_REPLY, 0, body).encode())

    def close(self) -> None:
        self._socket.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "panthorlab.gpu", "serve", *arguments]


def test_one_process_serves_both(tmp_path: Path) -> None:
    paths, events = [tmp_path / "0", tmp_path / "1"], tmp_path / "events"
    sockets = [word for path in paths for word in ("--socket", str(path))]
    process = subprocess.Popen(
        command(*sockets, "--param", "count=2", "--control", "--events", str(events), "--log", str(tmp_path / "log")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == f"listening {paths[0]} {paths[1]}\n"
    first, second = (Client(path) for path in paths)
    for rule, answer in (
        ("flush-lost,gpu=1", "misbehaving flush-lost,nth=1,times=1,gpu=1\n"),
        ("flush-lost,gpu=2", "refused flush-lost,nth=1,times=1,gpu=2: the last GPU is gpu=1\n"),
    ):
        process.stdin.write(f"misbehave {rule}\n")
        process.stdin.flush()
        assert process.stdout.readline() == answer
    for client in (first, second):
        client.write("GPU_CMD", FLUSH)
    assert (first.read("GPU_INT_RAWSTAT"), second.read("GPU_INT_RAWSTAT")) == (FLUSHED, 0)
    second.write("GPU_CMD", FLUSH)  # the rule was for one
    assert second.read("GPU_INT_RAWSTAT") == FLUSHED
    second.close()  # QEMU is gone
    assert process.wait(60) == 0
    first.close()
    process.stdin.close()
    process.stdout.close()
    seen = [json.loads(line) for line in events.read_text().splitlines()]
    assert [(event["kind"], event.get("gpu")) for event in seen] == [
        ("injected", 1),
        ("counters", 1),
        ("counters", None),
    ]
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--socket", "a", "--socket", "b"), "2 times, with count=1"),
        (("--socket", "a", "--param", "count=2"), "1 times, with count=2"),
        (("--socket", "a", "--param", "count=0"), "between 1 and 4"),
        (("--socket", "a", "--misbehave", "flush-lost,gpu=1"), "the last GPU is gpu=0"),
        (("--socket", "a", "--misbehave", "flush-lost,gpu=9"), "gpu must be between 0 and 3"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    ended = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
