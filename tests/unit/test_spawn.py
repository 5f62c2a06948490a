# SPDX-License-Identifier: GPL-2.0-or-later
"""No process outlives its controller; boards get different CPUs."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from panthorlab import spawn
from panthorlab.board.emulated.cpus import CpuLease

CONTROLLER = """
import subprocess, sys, threading
from pathlib import Path
from panthorlab import spawn
def start():
    child = spawn.spawn(["sleep", "60"], cwd=Path("/"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(child.pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
print("started", flush=True)
sys.stdin.read()
"""


def gone(pid: int, timeout: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    ended = bool(poller.poll(int(timeout * 1000)))
    os.close(fd)
    return ended


def test_child_dies_with_a_killed_controller_but_not_with_the_thread_that_asked() -> None:
    argv = [sys.executable, "-c", CONTROLLER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as controller:
        assert controller.stdout is not None
        child = int(controller.stdout.readline())
        assert controller.stdout.readline() == b"started\n"
        assert not gone(child, 0.2)
        controller.send_signal(signal.SIGKILL)
        controller.wait(60)
        assert gone(child, 60)


def test_child_of_a_parent_that_is_gone_does_not_run() -> None:
    done = subprocess.run(["sh", "-c", spawn._GUARD, "1", "echo", "ran"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_cpu_session_and_arguments(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    out = tmp_path / "out"
    script = "import os, sys; print(os.sched_getaffinity(0), os.getsid(0) == os.getpid(), os.getcwd(), sys.argv[1:])"
    with out.open("wb") as file:
        child = spawn.spawn(
            [sys.executable, "-c", script, "a b", "$HOME", "*"], cwd=tmp_path, stdout=file, stderr=file, cpu=cpu
        )
        assert child.wait(60) == 0
    assert out.read_text() == f"{{{cpu}}} True {tmp_path} ['a b', '$HOME', '*']\n"
    assert os.sched_getaffinity(threading.get_native_id()) == os.sched_getaffinity(0)


def test_end() -> None:
    stubborn = spawn.spawn(
        ["sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; wait"],
        cwd=Path("/"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"up\n"
    assert spawn.end(stubborn, gently=0.05) == -signal.SIGKILL
    assert spawn.end(stubborn, gently=0.05) == -signal.SIGKILL
    stubborn.stdout.close()
    os.killpg(stubborn.pid, signal.SIGKILL)


def test_run_gives_what_the_program_said(tmp_path: Path) -> None:
    done = spawn.run(
        ["sh", "-c", "cat; pwd; echo $X >&2; exit 3"],
        timeout=60,
        stdin=b"in\n",
        cwd=tmp_path,
        env={**os.environ, "X": "err"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, f"in\n{tmp_path}\n".encode(), b"err\n")
    assert spawn.run(["sh", "-c", "kill -9 $$"], timeout=60).returncode == -signal.SIGKILL


def test_run_kills_what_takes_too_long() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        spawn.run(["sleep", "60"], timeout=0.05)


def test_missing_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\nexit 4\n")
    (tmp_path / "tool").chmod(0o755)
    assert spawn.run(["./tool"], timeout=60, cwd=tmp_path).returncode == 4
    for name in ("no-such-program", "./tool"):
        with pytest.raises(FileNotFoundError) as caught:
            spawn.run([name], timeout=60)
        assert caught.value.filename == name
    with pytest.raises(FileNotFoundError) as caught:
        spawn.run(["true"], timeout=60, cwd=tmp_path / "none")
    assert Path(caught.value.filename) == tmp_path / "none"


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_signal_at_the_death_of_the_parent(death: signal.Signals) -> None:
    child = spawn.spawn(["setpriv", "--dump"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, death=death)
    out, _ = child.communicate(timeout=60)
    assert f"Parent death signal: {death.name.removeprefix('SIG')}\n" in out.decode()


def test_boards_get_different_cpus_until_there_are_none(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    leases = [CpuLease(tmp_path) for _ in range(2 * len(cpus))]
    assert sorted(lease.cpu for lease in leases) == sorted(cpus * 2)
    leases[0].release()
    leases[0].release()
    with CpuLease(tmp_path) as again:
        assert again.cpu == leases[0].cpu
    for lease in leases:
        lease.release()


def test_a_board_gets_the_cpu_with_the_fewest_boards(tmp_path: Path) -> None:
    """Also if the CPU with one has got it as its second: what it had first is over."""
    first = [CpuLease(tmp_path) for _ in os.sched_getaffinity(0)]
    second = CpuLease(tmp_path)
    for lease in first:
        lease.release()
    others = [CpuLease(tmp_path) for _ in range(len(first) - 1)]
    assert second.cpu not in {lease.cpu for lease in others}
    for lease in (second, *others):
        lease.release()
