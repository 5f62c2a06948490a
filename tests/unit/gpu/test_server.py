# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user server on one end of a socket pair; a client like QEMU, and worse ones, on the other."""

from __future__ import annotations

import array
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from panthorlab.gpu.device import GpuDevice
from panthorlab.gpu.events import Reporter
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.loop import HostLoop
from panthorlab.gpu.params import Params
from panthorlab.gpu.trace import NoTrace
from panthorlab.gpu.vfio import protocol as p
from panthorlab.gpu.vfio.protocol import Command, Flag, Message
from panthorlab.gpu.vfio.server import Server


class Client:
    """Sends bytes, lets the server work, and takes the answers."""

    def __init__(self, generation: Generation = G610) -> None:
        self.events = io.StringIO()
        self.reporter = Reporter(self.events, io.StringIO())
        self.errors: list[Exception] = []
        loop = HostLoop(self.errors.append, lambda _late: None)
        self.gpu = GpuDevice(generation, Params(), self.reporter, NoTrace(), loop)
        self.mine, theirs = socket.socketpair()
        self.mine.settimeout(60)
        self.closed = False
        self.server = Server(theirs, self.gpu, self.reporter, self._on_close)
        self._poll = theirs

    def _on_close(self) -> None:
        self.closed = True

    def work(self) -> None:
        """Serve until nothing is left to read."""
        self._poll.setblocking(False)
        while not self.closed:
            try:
                self.server.readable()
            except BlockingIOError:
                break
        self._poll.setblocking(True)

    def send(self, data: bytes, fds: list[int] | None = None) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.mine.sendmsg([data], ancillary)

    def receive(self) -> Message:
        head = self.mine.recv(16, socket.MSG_WAITALL)
        size = p.HEADER.unpack(head)[2]
        body = self.mine.recv(size - 16, socket.MSG_WAITALL) if size > 16 else b""
        return p.decode(head + body, 0, size)

    def ask(self, command: int, body: bytes = b"", fds: list[int] | None = None) -> Message:
        self.send(Message(7, command, 0, 0, body).encode(), fds)
        self.work()
        reply = self.receive()
        assert (reply.ident, reply.command, reply.flags & Flag.TYPE) == (7, command, Flag.REPLY)
        return reply

    def read(self, offset: int, count: int = 4, region: int = 0) -> bytes:
        reply = self.ask(Command.REGION_READ, p.REGION_ACCESS.pack(offset, region, count))
        assert p.REGION_ACCESS.unpack_from(reply.body) == (offset, region, count)
        return reply.body[16:]

    def at(self, name: str) -> int:
        return next(register.offset for register in self.gpu.generation.registers if register.name == name)

    def post(self, offset: int, value: int) -> None:
        body = p.REGION_ACCESS.pack(offset, 0, 4) + struct.pack("<I", value)
        self.send(Message(8, Command.REGION_WRITE, Flag.NO_REPLY, 0, body).encode())
        self.work()

    def close(self) -> None:
        self.mine.close()
        self.server.close()
        self.gpu.memory_changed()
        self.gpu.ram.clear()


@pytest.fixture
def client(generation: Generation) -> Iterator[Client]:
    made = Client(generation)
    yield made
    made.close()
    assert made.reporter.model_errors == 0


def memory(size: int = 0x2000) -> int:
    fd = os.memfd_create("ram")
    os.truncate(fd, size)
    return fd


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_start_up_as_qemu_does_it(client: Client) -> None:
    capabilities = json.dumps({"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535}}).encode()
    reply = client.ask(Command.VERSION, p.VERSION.pack(0, 0) + capabilities + b"\0" * 40)
    assert json.loads(reply.body[4:].rstrip(b"\0"))["capabilities"]["max_msg_fds"] == 16
    assert p.DEVICE_INFO.unpack(client.ask(Command.GET_INFO, p.DEVICE_INFO.pack(16, 0, 0, 0)).body) == (16, 3, 9, 5)
    sizes = [
        p.REGION_INFO.unpack(client.ask(Command.GET_REGION_INFO, p.REGION_INFO.pack(32, 0, i, 0, 0, 0)).body)[4]
        for i in range(9)
    ]
    assert sizes == [0x200000, 0, 0x4000, 0, 0, 0, 0, 256, 0]
    assert p.IRQ_INFO.unpack(client.ask(Command.GET_IRQ_INFO, p.IRQ_INFO.pack(16, 0, 2, 0)).body) == (16, 1, 2, 3)
    assert client.read(0, 4, p.REGION_CONFIG) == struct.pack("<HH", 0x13B5, 0x0C5F)
    assert client.ask(Command.DEVICE_RESET).flags == Flag.REPLY


def test_registers_in_all_sizes(client: Client) -> None:
    at = client.at("SHADER_PRESENT_LO")
    whole = struct.pack("<II", client.gpu.generation.cores["SHADER"], 0)
    assert client.read(at) == whole[:4]
    assert client.read(at, 8) == whole
    assert client.read(at + 3, 1) == whole[3:4]
    assert client.read(at + 2, 2) == whole[2:4]
    client.post(client.at("COHERENCY_PROTOCOL"), 31)
    assert client.read(client.at("COHERENCY_PROTOCOL")) == struct.pack("<I", 31)


def test_a_write_that_is_not_posted_is_answered_when_it_has_its_effect(client: Client) -> None:
    at = client.at("COHERENCY_PROTOCOL")
    reply = client.ask(Command.REGION_WRITE, p.REGION_ACCESS.pack(at, 0, 4) + struct.pack("<I", 31))
    assert (reply.flags, reply.errno, reply.body) == (Flag.REPLY, 0, p.REGION_ACCESS.pack(at, 0, 4))
    assert client.read(at) == struct.pack("<I", 31)


def test_a_round_trip_ends_with_the_answer_to_it(client: Client) -> None:
    """What else comes before the answer is served meanwhile."""
    asked = Message(1, Command.DMA_READ, Flag.REPLY, 0, p.REGION_ACCESS.pack(0, 4, 0) + b"\0" * 4)
    read = Message(5, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(0, 0, 4))
    client.send(read.encode() + asked.encode())
    client.server.round_trip()
    question = client.receive()
    assert (question.ident, question.command, question.flags) == (1, Command.DMA_READ, 0)
    assert client.receive().ident == 5
    client.mine.close()
    client.server.round_trip()  # returns, though nobody answers any more


def test_several_messages_in_one_receive_and_one_in_several(client: Client) -> None:
    read = Message(1, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(0, 0, 4)).encode()
    gpu_id = struct.pack("<I", client.gpu.generation.constant("GPU_ID"))
    client.send(read * 3 + read[:10])
    client.work()
    for _ in range(3):
        assert client.receive().body[16:] == gpu_id
    for byte in read[10:]:
        client.send(bytes([byte]))
        client.work()
    assert client.receive().body[16:] == gpu_id


def test_interrupts(client: Client) -> None:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    client.ask(Command.SET_IRQS, p.IRQ_SET.pack(20, 0x24, 2, 0, 1))  # enable MSI-X without a vector
    client.ask(Command.SET_IRQS, p.IRQ_SET.pack(20, 0x24, 2, 2, 1), [fd])
    client.post(client.at("GPU_INT_MASK"), 0x20103)
    client.post(client.at("GPU_CMD"), 0x1104)
    assert os.eventfd_read(fd) == 1
    client.ask(Command.SET_IRQS, p.IRQ_SET.pack(20, 0x21, 2, 0, 0))
    client.post(client.at("GPU_INT_CLEAR"), 1 << 17)
    client.post(client.at("GPU_CMD"), 0x1104)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(fd)
    client.ask(Command.SET_IRQS, p.IRQ_SET.pack(20, 0x24, 2, 2, 1), [fd])
    assert os.eventfd_read(fd) == 1, "the line was high already"
    os.close(fd)


def test_dma_maps(client: Client) -> None:
    fd = memory()
    os.pwrite(fd, b"abcdefgh", 0x1008)
    assert client.ask(Command.DMA_MAP, p.DMA_MAP.pack(32, 3, 0x1000, 0x40000000, 0x1000), [fd]).flags == Flag.REPLY
    assert client.gpu.ram.read_quad(0x40000008) == int.from_bytes(b"abcdefgh", "little")
    again = client.ask(Command.DMA_MAP, p.DMA_MAP.pack(32, 3, 0, 0x40000000, 0x1000), [fd])
    assert again.flags == Flag.REPLY | Flag.ERROR
    assert client.ask(Command.DMA_MAP, p.DMA_MAP.pack(32, 3, 0, 0x50000000, 0x1000)).errno
    unmap = p.DMA_UNMAP.pack(24, 0, 0x40000000, 0x1000)
    assert client.ask(Command.DMA_UNMAP, unmap).body == unmap
    assert client.gpu.ram.size == 0
    assert client.ask(Command.DMA_UNMAP, unmap).errno == 22
    os.close(fd)


def test_descriptors_belong_to_the_last_message_of_a_receive(client: Client) -> None:
    """A message without descriptors and one with some may come in one receive."""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    client.send(Message(1, Command.SET_IRQS, 0, 0, p.IRQ_SET.pack(20, 0x24, 2, 0, 1)).encode())
    client.send(Message(2, Command.SET_IRQS, 0, 0, p.IRQ_SET.pack(20, 0x24, 2, 2, 1)).encode(), [fd])
    client.work()
    assert [client.receive().ident, client.receive().ident] == [1, 2]
    client.gpu.irqs[2].trigger()
    assert os.eventfd_read(fd) == 1
    client.gpu.irqs[0].trigger()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(fd)
    os.close(fd)


def test_no_descriptor_leaks(client: Client) -> None:
    fd = memory()
    before = open_fds()
    for body in (p.DMA_MAP.pack(32, 3, 1, 0x40000000, 0x1000), b"short"):
        assert client.ask(Command.DMA_MAP, body, [fd, fd]).flags & Flag.ERROR
    assert client.ask(Command.SET_IRQS, p.IRQ_SET.pack(20, 0x24, 2, 9, 1), [fd]).flags & Flag.ERROR
    assert client.ask(Command.GET_INFO, b"", [fd]).flags == Flag.REPLY
    assert client.ask(99, b"", [fd]).errno
    assert open_fds() == before
    os.close(fd)


COMMANDS = st.one_of(st.sampled_from(list(Command)), st.integers(0, 0xFFFF))
NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 20, 0x20, 0x24, 0x1000, 0x40000000, 0x1FFFFC, 0xFFFFFFFF])
BODIES = st.one_of(st.binary(max_size=60), st.lists(NUMBERS, max_size=9).map(lambda n: struct.pack(f"<{len(n)}I", *n)))
# SCM_RIGHTS only with eventfds: what else a hostile client could pass is QEMU's own memory


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(COMMANDS, BODIES, st.booleans()), min_size=1, max_size=6))
@example([(Command.REGION_READ, struct.pack("<QII", 0x1FFFFF, 0, 8), False)])
@example([(Command.REGION_READ, struct.pack("<QII", 2**64 - 4, 0, 8), False)])
@example([(Command.REGION_WRITE, struct.pack("<QIIQ", 2**64 - 4, 7, 8, 0), False)])
@example([(Command.REGION_WRITE, struct.pack("<QIIB", 0x30, 0, 1, 1), False)])
def test_every_request_is_answered_and_nothing_raises(messages: list[tuple[int, bytes, bool]]) -> None:
    client = Client()
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        for number, (command, body, with_fd) in enumerate(messages):
            client.send(Message(number, command, 0, 0, body).encode(), [fd] if with_fd else None)
            client.work()
            assert client.receive().ident == number
        assert not client.closed
        assert client.reporter.model_errors == 0
        assert client.errors == []
    finally:
        os.close(fd)
        client.close()


@given(st.binary(min_size=1, max_size=400))
def test_garbage_closes_the_connection_or_waits_for_more(data: bytes) -> None:
    client = Client()
    try:
        client.send(data)
        client.work()
        assert client.reporter.model_errors == 0
    finally:
        client.close()


def test_a_client_that_leaves(client: Client) -> None:
    client.mine.close()
    client.work()
    assert client.closed


def test_an_exception_in_a_handler_is_reported_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    monkeypatch.setattr(client.gpu, "read", lambda _offset: 1 // 0)
    assert client.read(0) == bytes(4)
    assert client.reporter.model_errors == 1
    event = json.loads(client.events.getvalue())
    assert event["kind"] == "model-error"
    assert "ZeroDivisionError" in event["text"]
    assert "0900" in client.server.reproducer()
    client.close()


# --- the process


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "panthorlab.gpu", "serve", "--socket", str(tmp_path / "gpu"), *arguments]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"listening {tmp_path / 'gpu'}\n"
    return process


def test_rules_come_by_standard_input_and_are_answered(tmp_path: Path) -> None:
    process = start(tmp_path, "--control", "--misbehave", "flush-late,ms=1")
    assert process.stdin is not None
    assert process.stdout is not None
    for line, answer in (
        ("misbehave mcu-hang", "misbehaving mcu-hang,nth=1,times=1"),
        ("misbehave fire", "refused the GPU knows no misdeed 'fire'"),
        ("behave", "behaving"),
        ("hello", "refused 'hello': commands are `misbehave RULE` and `behave`"),
    ):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(answer)
    process.stdin.close()  # whoever gave commands has gone; the GPU stays
    assert process.poll() is None
    process.terminate()
    assert finish(process) == 0


def test_a_wrong_rule_is_a_usage_error(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "panthorlab.gpu",
        "serve",
        "--socket",
        str(tmp_path / "gpu"),
        "--misbehave",
        "fire",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "misdeed 'fire'" in ended.stderr


def connect(tmp_path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "gpu"))
    return client


def finish(process: subprocess.Popen[str]) -> int:
    status = process.wait(60)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    return status


def test_serve_until_the_client_leaves(tmp_path: Path) -> None:
    (tmp_path / "gpu").touch()
    (tmp_path / "gpu").unlink()
    process = start(tmp_path, "--events", str(tmp_path / "events"), "--log", str(tmp_path / "log"))
    client = connect(tmp_path)
    client.sendall(Message(1, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(0x448, 0, 4)).encode())
    assert len(client.recv(100)) == 36
    client.close()
    assert finish(process) == 0
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [e["kind"] for e in events] == ["unmodelled", "counters"]
    assert abs(events[0]["time"] - time.monotonic()) < 60
    assert not (tmp_path / "gpu").exists()


def test_trace_is_complete_after_sigterm(tmp_path: Path) -> None:
    process = start(tmp_path, "--trace", str(tmp_path / "trace.json"), "--log", str(tmp_path / "log"))
    client = connect(tmp_path)
    client.sendall(Message(1, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(0, 0, 4)).encode())
    client.recv(100)
    for offset, value in ((0x28, 0x20103), (0x30, 0x1104)):
        body = p.REGION_ACCESS.pack(offset, 0, 4) + struct.pack("<I", value)
        client.sendall(Message(1, Command.REGION_WRITE, Flag.NO_REPLY, 0, body).encode())
    client.sendall(Message(1, Command.REGION_READ, 0, 0, p.REGION_ACCESS.pack(0, 0, 4)).encode())
    client.recv(100)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 0
    client.close()
    events = json.loads((tmp_path / "trace.json").read_text())
    assert {e["args"]["name"] for e in events if e.get("name") == "thread_name"} >= {"GPU", "IRQ gpu"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "nonsense=1"], "no parameter 'nonsense'"),
        (["--param", "count=2", "--socket", "/nowhere/gpu"], "No such file"),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "panthorlab.gpu", "serve", "--socket", str(tmp_path / "gpu"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert message in result.stderr


def test_a_socket_that_a_dead_server_left_behind(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "gpu"))
    left.close()
    process = start(tmp_path, "--log", str(tmp_path / "log"))
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 0


def test_firmware_and_params_commands(tmp_path: Path) -> None:
    for arguments in (["firmware", "-o", str(tmp_path / "mali_csffw.bin")], ["params"]):
        result = subprocess.run(
            [sys.executable, "-m", "panthorlab.gpu", *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        assert ("writeout.delay_ms = 5 ms" in result.stdout) is (arguments == ["params"])
    assert (tmp_path / "mali_csffw.bin").read_bytes()[:4] == b"\x6e\x3a\xf1\xc3"
