# SPDX-License-Identifier: GPL-2.0-or-later
"""Running programs of a tree: output, status, names, deadlines, and nothing left behind. Attacks: test_attacks.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from panthorlab.errors import LabError
from panthorlab.kernel.jail import bubblewrap
from panthorlab.kernel.jail import sandbox as module
from panthorlab.kernel.jail.sandbox import Bind, Sandbox, sandbox, tools

BOXES = [Sandbox(True), Sandbox(False)]


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


@pytest.mark.parametrize("box", BOXES)
def test_output_and_status(box: Sandbox) -> None:
    assert run(["sh", "-c", "echo one; echo two >&2; exit 7"], box=box) == (7, ["one", "two"])


@pytest.mark.parametrize("box", BOXES)
def test_output_cannot_control_a_terminal(box: Sandbox) -> None:
    """Lines of it end up in messages, e.g. the first error of a build."""
    _, lines = run(["printf", r"a\033]52;c;eA==\007\302\233b\tc\r\nlast"], box=box)
    assert lines == ["a\ufffd]52;c;eA==\ufffd\ufffdb\tc", "last"]


@pytest.mark.parametrize("box", BOXES)
def test_a_line_without_end(box: Sandbox) -> None:
    _, lines = run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], box=box)
    assert sum(map(len, lines)) == 3_000_000
    assert len(lines) == 3


def test_a_missing_program() -> None:
    status, lines = run(["/nonexistent/program"], box=Sandbox(True))
    assert status == 127
    assert "not found" in lines[0]
    with pytest.raises(FileNotFoundError):
        run(["/nonexistent/program"], box=Sandbox(False))


@pytest.mark.parametrize("box", BOXES)
def test_a_killed_program(box: Sandbox) -> None:
    assert run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], box=box)[0] == 128 + signal.SIGKILL


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


def test_kill_9_of_the_controller_leaves_nothing() -> None:
    mark = f"panthorlab-test-{os.getpid()}-kill9"
    code = (
        "from panthorlab.kernel.jail.sandbox import sandbox\n"
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


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.004, 0.006, 0.008, 0.010, 0.012, 0.015, 0.020, 0.030])
def test_kill_9_while_the_jail_is_made(delay: float, tmp_path: Path) -> None:
    mark = f"panthorlab-test-{os.getpid()}-early-{delay}"
    code = (
        "import sys\nfrom panthorlab.kernel.jail.sandbox import Sandbox\n"
        "print(flush=True)\n"
        f"Sandbox(True).run(['sh', '-c', 'setsid sleep 60; : {mark}'], (), on_line=print, timeout=60)\n"
    )
    controller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert controller.stdout is not None
    controller.stdout.readline()
    time.sleep(delay)  # the moments are the point; whichever it is, nothing may be left
    controller.kill()
    controller.wait(60)
    controller.stdout.close()
    assert not left_behind(mark)


def test_what_a_program_leaves_running_is_gone_when_it_has_ended(tmp_path: Path) -> None:
    """Nothing can change build products any more when they are collected."""
    sandbox().hand_over(tmp_path)
    tmp_path.chmod(0o755)
    bind = Bind("obj", tmp_path, writable=True)
    script = (
        "(setsid sh -c 'while :; do echo x >>/mnt/obj/grows; done' </dev/null >/dev/null 2>&1 &) ; "
        "until [ -s /mnt/obj/grows ]; do :; done; exit 5"
    )
    assert run(["sh", "-c", script], bind, box=Sandbox(True))[0] == 5
    size = (tmp_path / "grows").stat().st_size
    assert all((tmp_path / "grows").stat().st_size == size for _ in range(1000))


def compiler(prefix: Path) -> Path:
    """A compiler that needs what is beside it, as gcc needs cc1, and whose prefix holds a secret."""
    for name in ("bin", "libexec"):
        (prefix / name).mkdir(parents=True)
    (prefix / "libexec/cc1").write_text("#!/bin/sh\necho compiled\n")
    (prefix / "bin/arm-gcc").write_text('#!/bin/sh\nexec "$(dirname "$0")/../libexec/cc1"\n')
    (prefix / "secret").write_text("s3cret\n")
    for path in (prefix / "libexec/cc1", prefix / "bin/arm-gcc"):
        path.chmod(0o755)
    return prefix / "bin/arm-gcc"


def test_a_compiler_in_somebodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs, by path, by name and through a link, and nothing else of the home is seen."""
    gcc = compiler(tmp_path / "home")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/arm-gcc").symlink_to(gcc)
    assert run([str(gcc)], *tools([str(gcc)]), box=Sandbox(True)) == (0, ["compiled"])
    status, lines = run(["cat", str(tmp_path / "home/secret")], *tools([str(gcc)]), box=Sandbox(True))
    assert status != 0
    assert "No such file" in lines[0]
    for folder in ("home/bin", "links"):
        monkeypatch.setenv("PATH", f"{tmp_path / folder}{os.pathsep}{os.environ['PATH']}")
        assert run(
            ["sh", "-c", "exec $(readlink -f $(command -v arm-gcc))"], *tools(["arm-gcc"]), box=Sandbox(True)
        ) == (0, ["compiled"])
    assert tools(["/bin/sh", "/usr/bin/env", "/nothing/of/that/name"]) == ()


@pytest.fixture
def no_memory() -> None:
    """The jail is tried anew."""
    module._probe.cache_clear()


@pytest.mark.usefixtures("no_memory")
def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="not installed") as caught:
        sandbox()
    assert caught.value.hint is not None
    assert "install bubblewrap" in caught.value.hint
    assert "--no-jail" in caught.value.hint


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("bwrap: No permissions to create new namespace", "namespaces"),
        ("bwrap: setting up uid map: Permission denied", "namespaces"),
        ("bwrap: Unknown option --disable-userns", "0.8 or newer"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "/proc"),
    ],
)
def test_a_bubblewrap_that_may_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, complaint: str, advice: str
) -> None:
    """The program is real, but not bubblewrap: which settings forbid it is the machine's to say."""
    (tmp_path / "bwrap").write_text(f'#!/bin/sh\necho "{complaint}" >&2\nexit 1\n')
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(LabError, match="no jail") as caught:
        sandbox()
    assert complaint in str(caught.value)
    assert advice in (caught.value.hint or "")


def test_only_no_jail_does_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_open", False)
    module.without_jail()
    assert sandbox() == Sandbox(False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kernel/unprivileged_userns_clone", "0"),
        ("user/max_user_namespaces", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_a_setting_that_forbids_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str
) -> None:
    (tmp_path / setting).parent.mkdir(parents=True)
    (tmp_path / setting).write_text(f"{value}\n")
    monkeypatch.setattr(bubblewrap, "SETTINGS", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert f"sysctl {setting.replace('/', '.')}=" in bubblewrap.remedy("bwrap: No permissions")
