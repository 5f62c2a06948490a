# SPDX-License-Identifier: GPL-2.0-or-later
"""The jail: no root, no network, nothing outside, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from panthorlab.errors import LabError
from panthorlab.kernel.sandbox import Bind, Sandbox, sandbox

jailed = pytest.mark.skipif(not sandbox().jailed, reason=sandbox().note or "")


def run(argv: list[str], *binds: Bind, box: Sandbox | None = None, timeout: float = 30.0) -> tuple[int, list[str]]:
    lines: list[str] = []
    return (box or sandbox()).run(argv, binds, on_line=lines.append, timeout=timeout), lines


def alive(mark: str) -> dict[int, bytes]:
    """Processes whose command line has `mark` in it: pid → command line."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()  # of anybody's process, in any encoding
        except OSError:  # it ended while we looked
            continue
        if mark.encode() in line:
            found[int(path.parent.name)] = line
    return found


def left_behind(mark: str) -> dict[int, bytes]:
    """Those that have not ended in time."""
    deadline = time.monotonic() + 30
    while (left := alive(mark)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


BOXES = [pytest.param(Sandbox(True), marks=jailed), Sandbox(False)]


@pytest.mark.parametrize("box", BOXES)
def test_output_and_status(box: Sandbox) -> None:
    assert run(["sh", "-c", "echo one; echo two >&2; exit 7"], box=box) == (7, ["one", "two"])


@pytest.mark.parametrize("box", BOXES)
def test_a_missing_program(box: Sandbox) -> None:
    if box.jailed:
        status, lines = run(["/nonexistent/program"], box=box)
        assert status == 125
        assert "No such file" in lines[0]
    else:
        with pytest.raises(FileNotFoundError):
            run(["/nonexistent/program"], box=box)


@jailed
def test_not_root_and_without_network() -> None:
    _, lines = run(["sh", "-c", "id -u; cat /proc/self/status"])
    assert lines[0] != "0"
    _, routes = run(["cat", "/proc/net/route"])
    assert len(routes) <= 1, "only the heading: no route leads anywhere"
    assert any(line.split() == ["NoNewPrivs:", "1"] for line in lines)
    if os.getuid() == 0:
        assert any(line.split() == ["CapEff:", "0000000000000000"] for line in lines)


@jailed
def test_network_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"/dev/tcp/127.0.0.1/{server.getsockname()[1]}"
        status, lines = run(["bash", "-c", f"exec 3<>{target}"])
        assert status != 0
        assert "unreachable" in lines[0]
        assert run(["bash", "-c", f"exec 3<>{target}"], box=Sandbox(False))[0] == 0, "reachable without the jail"


@jailed
def test_directories_have_fixed_names_and_are_read_only_unless_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/file").write_text("hello\n")
    (tmp_path / "a/file").chmod(0o644)
    box = sandbox()
    box.hand_over(tmp_path / "b")
    binds = (Bind("src", tmp_path / "a"), Bind("obj", tmp_path / "b", writable=True))
    script = "cat /mnt/src/file; touch /mnt/src/x; touch /mnt/obj/y && ls /mnt"
    status, lines = run(["sh", "-c", script], *binds)
    assert (status, lines[0]) == (0, "hello")
    assert "Read-only file system" in lines[1]
    assert lines[2:] == ["obj", "src"]
    assert (tmp_path / "b/y").exists()
    assert not (tmp_path / "a/x").exists()
    assert box.where(binds, "src") == "/mnt/src"
    assert Sandbox(False).where(binds, "src") == str(tmp_path / "a")


@jailed
def test_secrets_of_the_environment_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    assert not any("s3cret" in line for line in run(["env"])[1])


@pytest.mark.parametrize("box", BOXES)
def test_the_deadline_kills_all_of_it(box: Sandbox) -> None:
    mark = f"panthorlab-test-{os.getpid()}-deadline-{box.jailed}"
    with pytest.raises(LabError, match="did not end within"):
        run(["sh", "-c", f"sleep 60 & sleep 61; : {mark}"], box=box, timeout=0.5)
    assert not left_behind(mark)


@pytest.mark.parametrize("box", BOXES)
def test_ctrl_c_leaves_nothing(box: Sandbox) -> None:
    mark = f"panthorlab-test-{os.getpid()}-interrupt-{box.jailed}"

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    script = f"trap '' INT; echo go; sh -c 'sleep 60; : {mark}'; : {mark}"
    with pytest.raises(KeyboardInterrupt):
        box.run(["sh", "-c", script], (), on_line=interrupt, timeout=60)
    assert not left_behind(mark)


@jailed
def test_kill_9_of_the_controller_leaves_nothing() -> None:
    mark = f"panthorlab-test-{os.getpid()}-kill9"
    code = (
        "from panthorlab.kernel.sandbox import sandbox\n"
        f"sandbox().run(['sh', '-c', 'echo go; (setsid sleep 60; : {mark}) & wait; : {mark}'], (), "
        "on_line=lambda line: print(line, flush=True), timeout=60)\n"
    )
    controller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, controller.kill)
    watchdog.start()
    assert controller.stdout is not None
    assert controller.stdout.readline() == "go\n"
    assert alive(mark)
    controller.send_signal(signal.SIGKILL)
    controller.wait(60)
    controller.stdout.close()
    watchdog.cancel()
    assert not left_behind(mark)


DYING_JAIL = """
import os, select, signal
from panthorlab.kernel import jail
fork = os.fork
def fork_and_die():
    os.fork = fork
    parent = os.pidfd_open(os.getpid())
    if fork():
        os.kill(os.getpid(), signal.SIGKILL)
    select.select([parent], [], [])
    return 0
os.fork = fork_and_die
jail.main({"uid": os.getuid(), "binds": []}, ["echo", "ran"])
"""


@jailed
def test_kill_9_before_the_jail_can_watch_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", DYING_JAIL], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, b"", b"")
