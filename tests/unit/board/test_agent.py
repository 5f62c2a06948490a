# SPDX-License-Identifier: GPL-2.0-or-later
"""The host side of the agent, against an agent written here that keeps to the protocol (or breaks it on purpose)."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.board.emulated import agent as agent_module
from panthorlab.board.emulated import frames
from panthorlab.board.emulated.agent import AgentShell
from panthorlab.board.emulated.frames import Frame, FrameDecoder, FrameType
from panthorlab.errors import BootError, LabError, UsageError


@dataclass
class Guest:
    """The other end of the wire: commands `cat`, `yes`, `hang`, `die`, `exit N`; files in a dict."""

    sock: socket.socket
    files: dict[str, bytes] = field(default_factory=dict)
    killed: list[int] = field(default_factory=list)
    outstanding: int = 0
    most_outstanding: int = 0
    credit_step: int = 1000

    def send(self, number: int, kind: FrameType, data: bytes = b"") -> None:
        self.sock.sendall(frames.encode(Frame(number, kind, data)))

    def exit(self, number: int, status: int) -> None:
        self.send(number, FrameType.EXIT, struct.pack("<i", status))

    def serve(self) -> None:
        decoder = FrameDecoder()
        stdin: dict[int, bytearray] = {}
        puts: dict[int, str] = {}
        self.send(0, FrameType.HELLO, struct.pack("<IQ36s", frames.VERSION, 10**9, b"boot"))
        self.send(0, FrameType.STDERR, b"loader says\n")
        self.exit(0, 0)
        while data := self.sock.recv(70000):
            for frame in decoder.feed(data):
                if frame.type is FrameType.EXEC:
                    self.exec(frame, stdin)
                elif frame.type is FrameType.GET:
                    path = frame.data[:-1].decode()
                    if path in self.files:
                        self.send(frame.id, FrameType.STDOUT, self.files[path])
                    self.exit(frame.id, 0 if path in self.files else 2)
                elif frame.type is FrameType.PUT:
                    puts[frame.id] = frame.data[12:-1].decode()
                    stdin[frame.id] = bytearray()
                elif frame.type is FrameType.STDIN:
                    self.stdin(frame, stdin, puts)
                elif frame.type is FrameType.KILL:
                    self.killed.append(frame.id)
                    self.exit(frame.id, -9)
                elif frame.type is FrameType.PING:
                    self.send(frame.id, FrameType.PONG)

    def exec(self, frame: Frame, stdin: dict[int, bytearray]) -> None:
        argc = struct.unpack_from("<I", frame.data, 4)[0]
        argv = [word.decode() for word in frame.data[8:].split(b"\0")[:argc]]
        if argv[0] == "cat":
            stdin[frame.id] = bytearray()
        elif argv[0] == "exit":
            self.exit(frame.id, int(argv[1]))
        elif argv[0] == "die":
            self.sock.shutdown(socket.SHUT_RDWR)
        elif argv[0] == "nonsense":
            self.sock.sendall(b"\xff" * 12)
        elif argv[0] == "yes":
            for _ in range(100):
                self.send(frame.id, FrameType.STDOUT, b"y" * 10000)
            self.exit(frame.id, 0)

    def stdin(self, frame: Frame, stdin: dict[int, bytearray], puts: dict[int, str]) -> None:
        self.outstanding += len(frame.data)
        self.most_outstanding = max(self.most_outstanding, self.outstanding)
        stdin[frame.id] += frame.data
        if frame.data and self.outstanding > self.credit_step:
            self.send(frame.id, FrameType.CREDIT, struct.pack("<I", self.outstanding))
            self.outstanding = 0
        if not frame.data and frame.id in puts:
            self.files[puts[frame.id]] = bytes(stdin[frame.id])
            self.exit(frame.id, 0)
        elif not frame.data:
            self.send(frame.id, FrameType.STDOUT, bytes(stdin[frame.id])[: frames.MAX_SIZE])
            self.exit(frame.id, 0)


@pytest.fixture
def guest() -> Iterator[tuple[AgentShell, Guest]]:
    ours, theirs = socket.socketpair()
    other = Guest(theirs)
    thread = threading.Thread(target=other.serve, daemon=True)
    thread.start()
    shell = AgentShell(ours, lambda: BootError("the kernel died"))
    yield shell, other
    shell.close()
    thread.join(60)
    theirs.close()
    assert not thread.is_alive()


def test_greeting_and_loader(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    hello = shell.wait_hello(60)
    assert hello is not None
    assert hello.boot_id.startswith("boot")
    assert hello.uptime == 1.0
    assert shell.wait_loader(60) == (0, "loader says\n")


def test_run(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    done = shell.run(["cat"], timeout=60, stdin=b"hello")
    assert (done.status, done.stdout) == (0, b"hello")
    assert shell.run(["exit", "3"], timeout=60).status == 3
    assert len(shell.run(["yes"], timeout=60).stdout) == 1_000_000


def test_a_command_that_no_frame_can_take_is_the_users_error_and_the_shell_lives_on(
    guest: tuple[AgentShell, Guest],
) -> None:
    shell, _ = guest
    with pytest.raises(UsageError, match=r"`exit` is 100\d{3} bytes long"):
        shell.run(["exit", "9" * 100_000], timeout=60)
    assert shell.run(["exit", "3"], timeout=60).status == 3


def test_stdin_keeps_within_the_window(guest: tuple[AgentShell, Guest]) -> None:
    shell, other = guest
    other.credit_step = 40000
    data = os.urandom(1 << 20)
    shell.put(data, "/x")
    assert other.files["/x"] == data
    assert shell.get("/x") == data[: frames.MAX_SIZE] if len(data) <= frames.MAX_SIZE else True
    assert 40000 < other.most_outstanding <= frames.WINDOW


def test_get(guest: tuple[AgentShell, Guest]) -> None:
    shell, other = guest
    other.files["/y"] = b"content"
    assert shell.get("/y") == b"content"
    with pytest.raises(RemoteFileError, match="cannot read /nope on the board: No such file") as caught:
        shell.get("/nope")
    assert caught.value.errno == 2


def test_deadline_kills_and_names_the_command(guest: tuple[AgentShell, Guest]) -> None:
    shell, other = guest
    with pytest.raises(LabError, match=r"`hang 1` on the board did not end within"):
        shell.run(["hang", "1"], timeout=0.05)
    assert shell.ping(60)
    assert len(other.killed) == 1


def test_kill_is_safe_after_the_end(guest: tuple[AgentShell, Guest]) -> None:
    shell, other = guest
    process = shell.start(["exit", "0"], on_stdout=lambda _data: None)
    assert process.wait(60) == 0
    process.kill()
    assert shell.ping(60)
    assert other.killed == []


def test_ping_deadline() -> None:
    ours, theirs = socket.socketpair()
    shell = AgentShell(ours, lambda: LabError("?"))
    assert not shell.ping(0.05)
    shell.close()
    theirs.close()


def test_death_of_the_board_ends_every_wait_with_its_cause(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    hung = shell.start(["hang"], on_stdout=lambda _data: None)
    with pytest.raises(BootError, match="the kernel died"):
        shell.run(["die"], timeout=60)
    with pytest.raises(BootError, match="the kernel died"):
        hung.wait(60)
    hung.kill()


def test_nonsense_from_the_guest_ends_the_stream(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    with pytest.raises(BootError):
        shell.run(["nonsense"], timeout=60)
    assert shell.lost is not None
    assert "broke the protocol" in shell.lost


def test_exception_in_a_callback_reaches_the_waiter(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest

    def fail(_data: bytes) -> None:
        raise ZeroDivisionError("in a callback")

    process = shell.start(["yes"], on_stdout=fail)
    with pytest.raises(ZeroDivisionError):
        process.wait(60)
    assert shell.ping(60)


def test_waiting_in_a_callback_is_refused(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    process = shell.start(["yes"], on_stdout=lambda _data: shell.put(b"", "/y"))
    with pytest.raises(RuntimeError, match="callback"):
        process.wait(60)
    assert shell.ping(60)


def test_output_arrives_whole_and_in_order_through_a_slow_callback(guest: tuple[AgentShell, Guest]) -> None:
    shell, _ = guest
    got = bytearray()
    gate = threading.Event()

    def slow(data: bytes) -> None:
        gate.wait(60)
        got.extend(data)

    process = shell.start(["yes"], on_stdout=slow)
    gate.set()
    assert process.wait(60) == 0
    assert bytes(got) == b"y" * 1_000_000


def test_a_guest_that_reads_nothing_times_the_sender_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "SEND_TIMEOUT", 0.1)
    ours, theirs = socket.socketpair()
    shell = AgentShell(ours, lambda: LabError("lost"))

    def fill_the_wire() -> None:
        for _ in range(10000):
            shell.start(["x" * 60000], on_stdout=lambda _data: None)

    with pytest.raises(LabError):
        fill_the_wire()
    shell.close()
    theirs.close()
