# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose fault it is, and in what order a dead board is looked after: on a console that is read for real, with a board
behind it that does what its test says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.board import lab
from panthorlab.board.api import Completed, RemoteFileError
from panthorlab.board.console import Console
from panthorlab.board.real import blame, recovery
from panthorlab.board.real.blame import settle, why_silent
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.parts import Rig, SecureShell
from panthorlab.board.real.watch import Watch
from panthorlab.errors import BootError, LabError
from panthorlab.kernel.model import Kernel

BANNER = b"U-Boot 2023.01 (Jun 22 2026)\n\nStarting kernel ...\n[    0.5] the known-good kernel speaks\n"
KERNEL = b"[    0.000000] Booting Linux on physical CPU 0x0\n[    0.000000] Linux version 6.12.1 (a@b)\n"
PANIC = b"[   10.0] Kernel panic - not syncing: no way out\n[   10.1] Call trace:\n[   10.2] Rebooting in 1 seconds..\n"


class Shell:
    """SSH to what runs: `boot_id`, and pstore as a dictionary."""

    def __init__(self, board: Board) -> None:
        self._board, self.boot_id = board, board.boot_id

    def get(self, path: str) -> bytes:
        if path == blame.BOOT_ID:
            return self.boot_id.encode() + b"\n"
        if path == "/proc/cmdline":
            return b"root=/dev/x" + (b" panthorlab.kernel=0123" if self.boot_id == "under-test" else b"")
        if path == "/proc/sys/kernel/osrelease":
            return b"6.1.0\n"
        if path.startswith("/sys/module"):
            if path not in self._board.files:
                raise RemoteFileError(f"cannot read {path}", errno=2)
            return self._board.files[path]
        return self._board.pstore[path.rpartition("/")[2]]

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        if argv[0] == "rm":
            del self._board.pstore[argv[-1].rpartition("/")[2]]
        return Completed(tuple(argv), 0, "\n".join(self._board.pstore).encode(), b"")

    def put(self, data: bytes, path: str) -> None:
        self._board.did.append(f"sysrq-{data.decode()} by SSH" if path == "/proc/sysrq-trigger" else f"wrote {path}")

    def close(self) -> None:
        self._board.did.append("hang up")


class Board:
    """`did`: what was done to it, in order. `interrupts`: it answers sysrq. `network`: it can be reached."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self.did: list[str] = []
        self.boot_id = "under-test"
        self.interrupts = self.network = self.resets = self.power = self.comes_back = True
        self.pstore: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}

    def say(self, data: bytes) -> None:
        self._wire.sendall(data)

    def sysrq(self, key: str) -> None:
        self.did.append(f"sysrq-{key}")
        if self.interrupts:
            self.say(f"[   20.0] sysrq: {key}\n".encode())
            if key == "b":
                self.restart()

    def restart(self) -> None:
        if self.comes_back:
            self.boot_id, self.network, self.interrupts = "known-good", True, True
            self.say(BANNER)

    def cycle(self) -> None:
        self.did.append("power cycle")
        self.power = True
        self.pstore.clear()
        self.restart()

    def state(self) -> bool:
        return self.power

    def connect(self, timeout: float, *, why_lost: object = None) -> SecureShell:
        if not self.network:
            raise LabError("could not be reached by SSH")
        return cast(SecureShell, Shell(self))


class WatchedConsole(Console):
    can_break = True
    outages: Sequence[tuple[float, float]] = ()

    def __init__(self, source: socket.socket, log: Path, board: Board) -> None:
        super().__init__(source, log)
        self.sysrq = board.sysrq

    def complaint(self) -> str | None:
        return None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("QUIET", "_SYSRQ_ANSWER", "_SYSRQ_TIME", "_RESET_TIME"):
        monkeypatch.setattr(recovery, name, 0.2)
    monkeypatch.setattr(recovery, "PANIC_TIMEOUT", 1)
    monkeypatch.setattr(blame, "HANG_TIME", 0.5)
    (tmp_path / "lab").mkdir(mode=0o700)
    monkeypatch.setenv("PANTHORLAB_LAB", str(tmp_path / "lab"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[tuple[Board, Rig, Watch]]:
    """A board that runs a kernel under test, which has said its first lines."""
    ours, theirs = socket.socketpair()
    board = Board(theirs)
    console = WatchedConsole(ours, tmp_path / "console.log", board)
    watch = Watch(console.log)
    console.listen(watch)
    watch.begin()
    console.start()
    file = RealFile.model_validate(
        {
            "type": "real",
            "console": {"transport": "tcp", "host": "c", "port": 1},
            "power": {"driver": "manual"},
            "ssh": {"host": "b"},
            "boot": {"methods": ["kexec"], "console": "ttyS2", "root": "root=/dev/x"},
            "recovery": {"ramoops": True},
            "time_limits": {"power": 1, "uboot": 1, "kernel": 1, "ssh": 1},
        }
    )
    rig = Rig(
        name="rock",
        file=file,
        console=cast(Any, console),
        power=cast(Any, board),
        connect=board.connect,
        log_dir=tmp_path,
        progress=lambda _text: None,
    )
    board.say(KERNEL)
    until(lambda: watch.panic.kernel_started is not None)
    yield board, rig, watch
    theirs.close()
    console.join(5)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


Bench = tuple[Board, Rig, Watch]


def test_panic_is_told_to_its_end_and_not_mixed_with_the_next_kernel(bench: Bench) -> None:
    board, rig, watch = bench
    board.say(PANIC)
    until(lambda: watch.dead)
    board.pstore = {"dmesg-ramoops-0": b"Panic#1", "console-ramoops-0": b"[ 10.0]"}
    board.restart()
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, BootError)
    assert "kernel panic: no way out" in str(error)
    assert "Rebooting in 1 seconds.." in str(error)
    assert "known-good kernel speaks" not in str(error)
    assert b"known-good kernel speaks" not in watch.words()
    assert "1 crash record" in str(error.hint)
    assert (rig.log_dir / "recovery/pstore/dmesg-ramoops-0.txt").read_text() == "Panic#1"
    assert "power cycle" not in board.did, "it would have cost the record"
    assert not any(step.startswith("sysrq") for step in board.did)


def test_reset_that_came_before_anybody_noticed_the_panic(bench: Bench) -> None:
    """Whoever waited for SSH learns of it when the known-good kernel runs already."""
    board, rig, watch = bench
    board.say(PANIC)
    until(lambda: watch.dead)
    board.restart()
    until(lambda: watch.panic.rebooted is not None)
    settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert "power cycle" not in board.did


def test_hang_is_asked_by_sysrq_before_it_is_reset(bench: Bench) -> None:
    board, rig, watch = bench
    board.network = False
    board.say(b"[   30.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [heap-exit:9]\n")
    until(lambda: watch.panic.hang is not None)
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, BootError)
    assert "soft lockup" in str(error)
    assert board.did[:5] == ["sysrq-9", "sysrq-t", "sysrq-w", "sysrq-l", "sysrq-b"]
    assert "sysrq: w" in (rig.log_dir / "recovery/sysrq.txt").read_text()


def test_kernel_that_takes_no_interrupt_is_power_cycled(bench: Bench) -> None:
    board, rig, watch = bench
    board.network = board.interrupts = False
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, BootError)
    assert "answers neither SSH nor the console" in str(error)
    assert board.did == ["sysrq-h", "sysrq-9", "power cycle", "hang up"], "no sysrq-b: nobody would hear it"


def with_reset_line(rig: Rig, *argv: str) -> Rig:
    recovery_ = rig.file.recovery.model_copy(update={"reset": list(argv)})
    return replace(rig, file=rig.file.model_copy(update={"recovery": recovery_}))


def test_reset_line_spares_the_power_cycle(bench: Bench, tmp_path: Path) -> None:
    board, rig, watch = bench
    pulse = tmp_path / "pulse"
    board.network = board.interrupts = False
    rig = with_reset_line(rig, "touch", str(pulse))

    def obey() -> None:
        until(pulse.exists)
        board.restart()

    threading.Thread(target=obey, daemon=True).start()
    assert isinstance(settle(rig, why_silent(rig, watch, "under-test"), watch), BootError)
    assert "power cycle" not in board.did


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["false"], "status 1"),
        (["sleep", "9"], "did not end"),
        (["/no/such/program"], "cannot be run"),
        (["sh", "-c", "echo it smells >&2; exit 3"], "status 3: it smells"),
    ],
)
def test_reset_line_that_fails_is_told_and_passed_over(bench: Bench, argv: list[str], told: str) -> None:
    board, rig, watch = bench
    board.network = board.interrupts = False
    error = settle(with_reset_line(rig, *argv), why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, BootError)
    assert told in str(error.hint)
    assert "power cycle" in board.did


def test_network_that_has_gone_is_not_the_kernels_fault(bench: Bench) -> None:
    board, rig, watch = bench
    board.network = False
    cause = why_silent(rig, watch, "under-test")
    assert isinstance(cause.error, LabError)
    assert "answers on its console, but not over SSH" in str(cause.error)
    assert isinstance(settle(rig, cause, watch), LabError)


def test_network_that_is_back_leaves_the_board_alone(bench: Bench) -> None:
    board, rig, watch = bench
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, LabError)
    assert "though the board is well" in str(error)
    assert board.did == ["hang up"]


def test_board_that_was_switched_off_is_switched_on(bench: Bench) -> None:
    board, rig, watch = bench
    board.network = board.power = False
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, LabError)
    assert "has no power" in str(error)
    assert board.did == ["power cycle", "hang up"]


@pytest.mark.parametrize(
    ("marked", "pstore", "type_"),
    [
        (True, {"console-ramoops-0": b"[ 9.0] last"}, BootError),  # RAM was kept: the kernel did it
        (True, {}, LabError),  # RAM was lost: no power
        (False, {}, BootError),  # that RAM is empty says nothing
    ],
)
def test_silent_reset_by_the_kernel_or_by_the_power(
    bench: Bench, *, marked: bool, pstore: dict[str, bytes], type_: type[Exception]
) -> None:
    board, rig, watch = bench
    watch.marked = marked
    board.restart()
    until(lambda: watch.panic.rebooted is not None)
    board.pstore = dict(pstore)
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert type(error) is type_, error
    assert not any(step.startswith(("sysrq", "power")) for step in board.did), "it is back already"


def test_board_that_does_not_come_back_is_quarantined(bench: Bench) -> None:
    board, rig, watch = bench
    board.network = board.interrupts = board.comes_back = False
    error = settle(rig, why_silent(rig, watch, "under-test"), watch)
    assert isinstance(error, LabError)
    assert "panthorlab boards train rock" in str(error.hint)
    assert "says nothing on its console" in str(error.hint)
    standing = lab.standing("rock")
    assert standing.state is lab.LeaseState.QUARANTINED
    assert "does not come back" in standing.why


def test_record_of_every_reset_is_no_news(bench: Bench) -> None:
    """pstore has the console of the last kernel after each warm reset; only dmesg records tell of crashes."""
    board, rig, _watch = bench
    told: list[str] = []
    rig = replace(rig, progress=told.append)
    board.pstore = {"console-ramoops-0": b"[ 1.0] hello"}
    recovery.forget_crashes(rig, board.connect(1))
    assert (told, board.pstore) == ([], {})
    board.pstore = {"console-ramoops-0": b"[ 1.0] hello", "dmesg-ramoops-0": b"Panic#1"}
    recovery.forget_crashes(rig, board.connect(1))
    assert (told, board.pstore) == (["recovery: pstore: 1 crash record"], {})


@pytest.mark.parametrize(
    ("config", "size", "marks"),
    [
        ("CONFIG_PSTORE_CONSOLE=y\n", b"262144\n", True),
        ("CONFIG_PSTORE_CONSOLE=y\n", b"0\n", False),
        ("# CONFIG_PSTORE_CONSOLE is not set\n", b"262144\n", False),
        ("CONFIG_PSTORE_CONSOLE=y\n", None, False),
    ],
)
def test_memory_counts_as_evidence_only_where_it_is_kept(
    bench: Bench, tmp_path: Path, config: str, size: bytes | None, marks: bool
) -> None:
    board, rig, _watch = bench
    (tmp_path / "config").write_text(config)
    kernel = Kernel(key="0123" * 16, path=tmp_path, arch="arm64", release="6.12.1", build_id="aa", title="t")
    board.files = {} if size is None else {recovery._CONSOLE_SIZE: size}
    assert recovery.mark_memory(rig, board.connect(1), kernel) is marks
    assert ("wrote /dev/kmsg" in board.did) is marks


def test_everybody_hears_of_a_death_once(bench: Bench) -> None:
    board, _rig, watch = bench
    heard: list[float] = []
    watch.on_death = lambda: heard.append(time.monotonic())
    board.say(PANIC + BANNER)
    until(lambda: bool(heard) and watch.panic.rebooted is not None)
    assert len(heard) == 1
