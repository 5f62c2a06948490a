# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent on a real guest: commands, files, flow control, and the processes that try its patience."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.errors import LabError

pytestmark = pytest.mark.e2e


PROBE = "/probe"
LONG = 120.0  # seconds; for what nothing but a broken board exceeds
FULL = "/tmp/all"  # noqa: S108 - the guest's


@pytest.fixture
def board(plain_board: BootedEmulatedBoard) -> BootedEmulatedBoard:
    return plain_board


@pytest.fixture(autouse=True)
def _still_well(board: BootedEmulatedBoard) -> Iterator[None]:
    """Whatever a test does to the agent, it must serve the next one, and hold on to nothing."""
    yield
    board.check_alive()
    assert board.shell.run([PROBE, "args"], timeout=LONG).status == 0


def spewed(total: int, seed: int) -> bytes:
    return bytes(((at // 4096 * 4096 + at % 4096) // 251 + at % 4096 + seed) & 255 for at in range(total))


def test_arguments_and_environment_arrive_as_given(board: BootedEmulatedBoard) -> None:
    words = ["a b", "", "$HOME", "*", "é", "\\", "x" * 20000]
    done = board.shell.run([PROBE, "args", *words], timeout=LONG, env={"K": "v w"})
    assert done.status == 0
    lines = done.stdout.decode().splitlines()
    assert lines[: len(words)] == words
    assert "env K=v w" in lines
    assert any(line.startswith("env PATH=/opt/panthorlab:") for line in lines)


def test_status(board: BootedEmulatedBoard) -> None:
    assert board.shell.run([PROBE], timeout=LONG).status == 2
    assert board.shell.run([PROBE, "segv"], timeout=LONG).status == -11
    missing = board.shell.run(["/no/such"], timeout=LONG)
    assert missing.status == 127
    assert b"/no/such: No such file" in missing.stderr
    assert board.shell.run(["/etc"], timeout=LONG).status == 126
    assert board.shell.run(["init", "wait", "/proc/1", "1"], timeout=LONG).stdout == b"/proc/1\n"


def test_files(board: BootedEmulatedBoard) -> None:
    shell = board.shell
    data = hashlib.shake_256(b"seed").digest(1 << 20)
    shell.put(data, "/tmp/file", mode=0o755)  # noqa: S108 - the guest's
    assert shell.get("/tmp/file") == data  # noqa: S108
    shell.put(b"", "/tmp/file")  # noqa: S108
    assert shell.get("/tmp/file") == b""  # noqa: S108
    assert shell.get("/proc/sys/kernel/random/boot_id").decode().strip() == board.boot_id
    shell.put(b"7", "/proc/sys/kernel/printk")
    assert shell.get("/proc/sys/kernel/printk").split()[0] == b"7"
    assert b"Linux version" in shell.get("/dev/kmsg")
    for refused in (lambda: shell.get("/none"), lambda: shell.put(b"x", "/none/x"), lambda: shell.get("/etc")):
        with pytest.raises(RemoteFileError):
            refused()


def test_full_disk(board: BootedEmulatedBoard) -> None:
    assert board.shell.run([PROBE, "fill", FULL], timeout=LONG).status == 0
    with pytest.raises(RemoteFileError, match="No space left"):
        board.shell.put(bytes(1 << 20), "/tmp/more")  # noqa: S108
    assert board.shell.run([PROBE, "args"], timeout=LONG).status == 0
    with pytest.raises(RemoteFileError, match="No such file"):
        board.shell.get("/tmp/more")  # noqa: S108
    board.shell.put(b"", FULL)


def test_stdin(board: BootedEmulatedBoard) -> None:
    data = hashlib.shake_256(b"stdin").digest(1 << 20)
    assert board.shell.run([PROBE, "cat"], timeout=LONG, stdin=data).stdout == data
    assert board.shell.run([PROBE, "args"], timeout=LONG, stdin=data).status == 0, "need not read it"
    with pytest.raises(LabError, match="before the deadline"):
        board.shell.run([PROBE, "sleep"], timeout=0.5, stdin=data)


def test_many_processes_at_once_lose_nothing(board: BootedEmulatedBoard) -> None:
    total, count = 256 * 1024, 12
    out = [bytearray() for _ in range(count)]
    err = [bytearray() for _ in range(count)]
    processes = [
        board.shell.start(
            [PROBE, "spew", str(total), str(seed)], on_stdout=out[seed].extend, on_stderr=err[seed].extend
        )
        for seed in range(count)
    ]
    assert [process.wait(LONG) for process in processes] == [0] * count
    for seed in range(count):
        wanted = spewed(total, seed)
        assert bytes(out[seed]) == wanted
        assert bytes(err[seed]) == bytes(byte ^ 255 for byte in wanted)


def test_a_slow_host_holds_the_process_back(board: BootedEmulatedBoard) -> None:
    gate, got = threading.Event(), bytearray()

    def slow(data: bytes) -> None:
        assert gate.wait(LONG)
        got.extend(data)

    process = board.shell.start([PROBE, "spew", str(4 << 20), "1"], on_stdout=slow)
    with pytest.raises(LabError, match="did not end"):
        process.wait(1.0)
    gate.set()
    assert process.wait(LONG) == 0
    assert bytes(got) == spewed(4 << 20, 1)


def test_kill_reaches_the_children(board: BootedEmulatedBoard) -> None:
    said, spoke = bytearray(), threading.Event()

    def hear(data: bytes) -> None:
        said.extend(data)
        spoke.set()

    process = board.shell.start([PROBE, "sleep"], on_stdout=hear)
    assert spoke.wait(LONG)
    parent, child = said.split()
    assert board.shell.get(f"/proc/{child.decode()}/comm") == b"probe\n"
    process.kill()
    assert process.wait(LONG) == -9
    process.kill()
    for pid in (parent, child):
        waited = time.monotonic() + LONG
        while time.monotonic() < waited:
            try:
                board.shell.get(f"/proc/{pid.decode()}/comm")
            except RemoteFileError:
                break
        else:
            pytest.fail(f"process {pid.decode()} is still there")


def test_deadline(board: BootedEmulatedBoard) -> None:
    with pytest.raises(LabError, match="did not end within"):
        board.shell.run([PROBE, "sleep"], timeout=0.3)


@pytest.mark.parametrize(("what", "status"), [("orphan", 5), ("chatty-orphan", 6)])
def test_an_orphan_on_the_pipes_does_not_hold_the_command(board: BootedEmulatedBoard, what: str, status: int) -> None:
    done = board.shell.run([PROBE, what], timeout=LONG)
    assert done.status == status
    if what == "orphan":
        assert done.stdout == b"parent's word\n"


def test_orphans_are_reaped(board: BootedEmulatedBoard) -> None:
    def zombies() -> int:
        # The last field but two of /proc/loadavg counts all tasks; a zombie is one.
        return int(board.shell.get("/proc/loadavg").split()[3].split(b"/")[1])

    before = zombies()
    assert board.shell.run([PROBE, "children", "100"], timeout=LONG).status == 0
    deadline = time.monotonic() + LONG
    while zombies() > before + 10:
        assert time.monotonic() < deadline, f"{zombies()} tasks, {before} before"


def test_more_processes_than_the_agent_has_room_for(board: BootedEmulatedBoard) -> None:
    processes = [board.shell.start([PROBE, "sleep"], on_stdout=lambda _data: None) for _ in range(70)]
    assert [process.wait(LONG) for process in processes[64:]] == [126] * 6
    for process in processes:
        process.kill()
    assert [process.wait(LONG) for process in processes[:64]] == [-9] * 64


def test_many_commands_one_after_another(board: BootedEmulatedBoard) -> None:
    for _ in range(50):
        assert board.shell.run(["/init", "wait", "/proc/1", "1"], timeout=LONG).status == 0
