# SPDX-License-Identifier: GPL-2.0-or-later
"""on-board.sh with a real `iterate` and a kernel log that is a file: what passes, and all that must not."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import panthorlab
from tests.unit.guest.conftest import ITERATE

PACKAGE = Path(panthorlab.__file__).parent
SCRIPT = PACKAGE / "lava/on-board.sh"
SENTINEL = Path(__file__).parent.parent / "guest/fake_sentinel.c"
BUILD_ID = "ab" * 20


class KernelLog:
    """What is written to a FIFO becomes records of a file, as /dev/kmsg would give them."""

    def __init__(self, folder: Path) -> None:
        self.fifo, self.records = folder / "kmsg", folder / "source"
        self.skip = 0
        os.mkfifo(self.fifo)
        self.records.write_text("6,100,1,-;booted\n SUBSYSTEM=x\n3,101,2,-;an error before the first workload\n")
        self._next = 102
        self._fd = os.open(self.fifo, os.O_RDWR)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with os.fdopen(os.dup(self._fd), "r") as lines, self.records.open("a") as out:
            for line in lines:
                if line == "stop\n":
                    return
                level, _, text = line.strip().removeprefix("<").partition(">")
                if not level.isdigit():  # the sentinel's
                    continue
                if "GAP" in text:
                    self._next += 5
                priority = int(level) if "KERNEL" in text else 8 + int(level)
                out.write(f"{priority},{self._next},9,-;{text}\n")
                out.flush()
                self._next += 1

    def close(self) -> None:
        os.write(self._fd, b"stop\n")
        os.close(self._fd)


class Board:
    """A directory that looks like the board to the script."""

    def __init__(self, folder: Path, iterate: Path, log: KernelLog) -> None:
        self.folder, self.log, self.results = folder, log, folder / "results"
        here, path = folder / "opt", folder / "bin"
        for directory in (here, path, folder / "sys/kernel", folder / "sys/module/panthor/notes"):
            directory.mkdir(parents=True)
        for target, text in {
            here / "on-board.sh": SCRIPT.read_text(),
            here / "kmsg-follow": f"#!/bin/sh\nexec tail -n +1 -f {log.records}\n",
            here / "init": '#!/bin/sh\n[ "$1" = wait ] && [ -e "$2" ]\n',
            path / "lava-test-case": f'#!/bin/sh\necho "$@" >>{self.results}\n',
            path / "lava-test-raise": f'#!/bin/sh\necho "raise $*" >>{self.results}\nexit 1\n',
            path / "insmod": '#!/bin/sh\n[ -e "$1" ]\n',
        }.items():  # fmt: skip
            target.write_text(text)
            target.chmod(0o755)
        (here / "iterate").symlink_to(iterate)
        (folder / "render").touch()
        (folder / "sys/kernel/notes").write_bytes(b"\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0" + bytes.fromhex(BUILD_ID))
        (folder / "sys/module/panthor/notes/.note.gnu.build-id").write_bytes(bytes.fromhex("cd" * 20))
        self.env = {
            "PATH": f"{path}:{os.environ['PATH']}", "PANTHORLAB_RECORDS": str(folder / "records"),
            "PANTHORLAB_KMSG": str(log.fifo), "PANTHORLAB_SYS": str(folder / "sys"),
            "PANTHORLAB_RENDER": str(folder / "render"),
        }  # fmt: skip
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> list[str]:
        """The results (`CASE --result …`, `raise …`) of one call."""
        self.results.write_text("")
        process = subprocess.Popen(
            ["sh", str(self.folder / "opt/on-board.sh"), *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._children.append(process)
        process.wait(60)
        return self.results.read_text().splitlines()

    def workload(self, script: str, *, name: str = "w.x", count: int = 2) -> list[str]:
        return self.run(
            "workload",
            name,
            str(count),
            "--name",
            "w/x",
            "--prefix",
            name,
            "--first",
            "1",
            "--count",
            str(count),
            "--",
            "/bin/sh",
            "-c",
            script,
        )

    def close(self) -> None:
        for process in self._children:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                continue


@pytest.fixture(scope="module")
def iterate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iterate")
    program = folder / "iterate"
    sources = [PACKAGE / "guest" / name for name in ITERATE]
    subprocess.run(
        [
            "cc",
            "-std=gnu11",
            "-Werror",
            f"-I{PACKAGE / 'guest'}",
            '-DKMSG_PATH=getenv("PANTHORLAB_KMSG")',
            "-o",
            str(program),
            *map(str, sources),
            str(SENTINEL),
        ],
        check=True,
        timeout=60,
    )
    return program


@pytest.fixture
def board(tmp_path: Path, iterate: Path) -> Iterator[Board]:
    log = KernelLog(tmp_path)
    board = Board(tmp_path, iterate, log)
    yield board
    board.close()
    log.close()


def test_all_is_well(board: Board) -> None:
    assert board.run("start") == ["gpu --result pass"]
    assert board.run("identity", BUILD_ID, "panthor=" + "cd" * 20, "other=" + "ef" * 20) == ["identity --result pass"]
    assert board.workload("true") == [
        "w.x.program --result pass", "w.x.kernel --result pass --measurement 0 --units records",
    ]  # fmt: skip


def test_kernel_message_fails_its_workload_only(board: Board) -> None:
    board.run("start")
    kmsg = board.log.fifo
    said = board.workload(f"echo '<3>KERNEL panthor: Unhandled Page fault' >{kmsg}")
    assert said == ["w.x.program --result pass", "w.x.kernel --result fail --measurement 2 --units records"]
    assert board.workload(f"echo '<6>KERNEL harmless' >{kmsg}", name="w.y")[1].startswith("w.y.kernel --result pass")


def test_message_between_two_workloads_is_not_lost(board: Board) -> None:
    board.run("start")
    board.workload("true")
    with board.log.fifo.open("w") as kmsg:
        kmsg.write("<4>KERNEL late warning\n")
    assert board.workload("true", name="w.y")[1] == "w.y.kernel --result fail --measurement 1 --units records"


def test_program_that_fails(board: Board) -> None:
    board.run("start")
    assert board.workload("exit 3") == [
        "w.x.program --result fail", "w.x.kernel --result pass --measurement 0 --units records",
    ]  # fmt: skip


@pytest.mark.parametrize("message", ["<6>KERNEL GAP", "overrun"])
def test_kernel_log_with_a_hole_is_no_evidence(board: Board, message: str) -> None:
    board.run("start")
    target = board.log.records if message == "overrun" else board.log.fifo
    text = "panthorlab-overrun" if message == "overrun" else message
    assert board.workload(f"echo '{text}' >>{target}")[1].startswith("w.x.kernel --result fail")


def test_nothing_counts_without_gpu_record_or_identity(board: Board) -> None:
    assert board.run("start", "/nowhere/panthor.ko")[0] == "gpu --result fail"
    assert board.workload("true")[-2] == "w.x.kernel --result fail"
    assert board.run("identity", "cd" * 20)[0] == "identity --result fail"
    assert board.run("identity", BUILD_ID, "panthor=" + "ef" * 20)[0] == "identity --result fail"
    (board.folder / "render").unlink()
    said = board.run("start")
    assert said[0] == "gpu --result fail"
    assert said[1].startswith("raise panthorlab: no GPU")
