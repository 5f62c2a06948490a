# SPDX-License-Identifier: GPL-2.0-or-later
"""Attacks from inside the jail, as root and as an ordinary user. Each is seen to succeed without the jail."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panthorlab.errors import SourceError
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.jail.sandbox import Bind, Sandbox
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.localsource import directory_source
from panthorlab.kernel.source.trees import open_base
from tests.unit.kernel.conftest import FRAGMENT, write_guest, write_tree

ORDINARY = 54321
HERE = Path(__file__).parent
USERS = (["root"] if os.getuid() == 0 else []) + ["ordinary user"]


def as_ordinary(function: Callable[[], Any]) -> Any:
    """What `function` returns as an ordinary user, in a process of its own if we are root."""
    if os.getuid():
        return function()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(ORDINARY, ORDINARY, ORDINARY)
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
            result: Any = (True, function())
        except BaseException as error:
            result = (False, repr(error))
        with os.fdopen(write_end, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        good, value = pickle.load(pipe)  # noqa: S301 - our own child's
    os.waitpid(child, 0)
    assert good, value
    return value


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function as that user."""
    return (lambda function: function()) if request.param == "root" else as_ordinary


@pytest.fixture
def victim(user: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A home with a key, servers, a process, all of that user; `bait` says to the attacks where they are."""
    ordinary = user is as_ordinary and os.getuid() == 0
    home = Path(tempfile.mkdtemp(prefix="panthorlab-victim-", dir="/tmp"))
    if ordinary:
        os.chown(home, ORDINARY, ORDINARY)
    mark = f"120.{os.getpid()}{os.urandom(3).hex().translate(str.maketrans('abcdef', '012345'))}"
    secret = f"secret-{home.name}"
    monkeypatch.setenv("PANTHORLAB_TEST_TOKEN", secret)

    def lay_out() -> int:
        (home / ".ssh").mkdir(mode=0o700)
        (home / ".ssh/id").write_text("the key\n")
        (home / ".ssh/id").chmod(0o600)
        (home / ".bashrc").write_text("# mine\n")
        for name in ("src", "obj"):
            (home / name).mkdir()
        shutil.copy(HERE / "hostile.py", home / "src/hostile.py")
        (home / "src/Makefile").touch()
        return subprocess.Popen(["/usr/bin/sleep", mark], start_new_session=True).pid

    pid = user(lay_out)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        unix.bind(f"{home}/socket")
        (home / "socket").chmod(0o777)
        abstract.bind(f"\0{home.name}")
        for server in (unix, abstract):
            server.listen()
        marks = {folder: f"{folder}/panthorlab-attack-{home.name}" for folder in ("/tmp", "/var/tmp", "/dev/shm")}  # noqa: S108
        yield SimpleNamespace(
            home=home,
            marks=marks,
            bait={
                "key": f"{home}/.ssh/id",
                "bashrc": f"{home}/.bashrc",
                "port": tcp.getsockname()[1],
                "socket": f"{home}/socket",
                "abstract": home.name,
                "mark": mark,
                "victim": pid,
                "secret": secret,
                "lingering": f"lingering-{home.name}",
                **marks,
            },
        )
    os.kill(pid, signal.SIGKILL)
    for path in marks.values():
        Path(path).unlink(missing_ok=True)
    shutil.rmtree(home)


def attack(victim: SimpleNamespace, box: Sandbox) -> dict[str, str]:
    binds = (Bind("src", victim.home / "src"), Bind("obj", victim.home / "obj", writable=True))
    box.hand_over(victim.home / "obj")
    bait = victim.bait | {"readonly": box.where(binds, "src"), "writable": box.where(binds, "obj")}
    lines: list[str] = []
    argv = ["/usr/bin/python3", f"{bait['readonly']}/hostile.py", json.dumps(bait)]
    assert box.run(argv, binds, on_line=lines.append, timeout=60) == 0, lines
    found: dict[str, str] = json.loads(lines[-1])
    return found


def _possible(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


# not every kernel has it
ELSEWHERE = {"virtual socket"} if _possible(lambda: socket.socket(40, socket.SOCK_STREAM).close()) else set()
REFUSALS = ("Error", "Nothing", "TimeoutError")


def successes(found: dict[str, str]) -> set[str]:
    return {name for name, got in found.items() if not got.endswith(REFUSALS)}


def lingering(victim: SimpleNamespace) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if victim.bait["lingering"].encode() in path.read_bytes() and b"time.sleep" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_attacks_in_the_jail(victim: SimpleNamespace, user: Callable[[Callable[[], Any]], Any]) -> None:
    found = user(lambda: attack(victim, Sandbox(True)))
    harmless = {"write /tmp", "write /var/tmp", "write /dev/shm", "linger"}  # each into the void, see below
    assert successes(found) == harmless, found
    assert (victim.home / ".bashrc").read_text() == "# mine\n"
    assert not any(Path(path).exists() for path in victim.marks.values())
    assert not lingering(victim)
    assert not list((victim.home / "obj").iterdir())


def test_attacks_without_it(victim: SimpleNamespace, user: Callable[[Callable[[], Any]], Any]) -> None:
    """Else the test above would not tell a jail from an attack that cannot work."""
    found = user(lambda: attack(victim, Sandbox(False)))
    expected = {
        "read the key",
        "write .bashrc",
        "write /tmp",
        "write /var/tmp",
        "write /dev/shm",
        "write the source",
        "tcp",
        "unix socket",
        "abstract socket",
        "see a process",
        "signal a process",
        "read its memory",
        "link the key",
        "keep privileges",
        "linger",
        "keyring",
        "user namespace",
        *ELSEWHERE,
    }
    if user is not as_ordinary:
        expected |= {"read shadow", "list /root", "write the program", "make a device", "trace it", "find the secret"}
    Path("/usr/panthorlab-was-here").unlink(missing_ok=True)
    left = lingering(victim)
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    assert expected - successes(found) <= {"find the secret"}, found
    assert left
    assert "was here" in (victim.home / ".bashrc").read_text()


MRPROPER = """
mrproper:
\t-cat {key} >stolen
\t-echo was here >>{bashrc}
\t-exec 3<>/dev/tcp/127.0.0.1/{port} && touch connected
\tid -u >who
\trm -rf .config include/config
SHELL := /bin/bash
"""


def test_cleaning_a_tree_runs_it_in_the_jail(
    victim: SimpleNamespace, user: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make mrproper` of a base that somebody has built in was run as the user, with everything the user has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(victim.home / "cache"))

    def unpack() -> Path:
        tree = write_tree(victim.home / "linux")
        with (tree / "Makefile").open("a") as makefile:
            makefile.write(MRPROPER.format(**victim.bait))
        (tree / ".config").write_text("CONFIG_X=y\n")
        return open_base(directory_source(tree), quiet).path

    cleaned: Path = user(unpack)
    assert (cleaned / "who").read_text().strip() != "0"
    assert (cleaned / "stolen").read_text() == ""
    assert not (cleaned / "connected").exists()
    assert not (cleaned / ".config").exists()
    assert (victim.home / ".bashrc").read_text() == "# mine\n"
    assert {path.stat().st_uid for path in (cleaned, *cleaned.rglob("*"))} == {(victim.home / ".ssh").stat().st_uid}


@pytest.mark.usefixtures("cache")
def test_a_tree_that_cannot_be_cleaned(tree: Path) -> None:
    with (tree / "Makefile").open("a") as makefile:
        makefile.write("mrproper:\n\t@echo no; false\n")
    (tree / ".config").touch()
    with pytest.raises(SourceError, match=r"mrproper.*status 2: no"):
        open_base(directory_source(tree), quiet)


BUILD_STEPS = """
steal:
\t-cat {key} >$(O)/stolen-by-$(step)
\t-echo was here >>{bashrc}
\t-exec 3<>/dev/tcp/127.0.0.1/{port} && touch $(O)/connected
\t-touch $(S)/written
\tid -u >$(O)/who-$(step)
SHELL := /bin/bash
"""


def test_every_step_of_a_build_is_in_the_jail(
    victim: SimpleNamespace, user: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuring, compiling, the shim's build, which runs the tree's Makefile, too, and importing what is built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(victim.home / "cache"))
    monkeypatch.setenv("CROSS_COMPILE", "")
    monkeypatch.setattr("panthorlab.kernel.build.guest.SOURCES", victim.home / "guest")

    def build() -> tuple[Kernel, Kernel]:
        tree = write_tree(victim.home / "linux")
        text = (tree / "Makefile").read_text().replace("allnoconfig:\n", "allnoconfig:\n\t@mkdir -p $(O)\n")
        for target in ("allnoconfig:\n", "modules:\n"):
            text = text.replace(target, f"{target}\t@$(MAKE) -f $S/Makefile steal step=$@ O=$(or $(M),$(O))\n")
        (tree / "Makefile").write_text(text + BUILD_STEPS.format(**victim.bait))
        write_guest(victim.home / "guest")
        (victim.home / "tiny.config").write_text(FRAGMENT)
        log = victim.home / "log"
        kernel = build_side(prepare_kernel(str(tree), fragments=[str(victim.home / "tiny.config")]), log=log)
        objects = next(path for path in (victim.home / "cache").rglob("obj-*") if path.suffix != ".work")
        (objects / "source").symlink_to(tree)
        return kernel, find_kernel(str(objects), log=log)

    kernels: tuple[Kernel, Kernel] = user(build)
    assert [kernel.jailed for kernel in kernels] == [True, True]
    marks = list((victim.home / "cache").rglob("who-*"))
    assert {path.name for path in marks} == {"who-allnoconfig", "who-modules"}
    assert len(marks) >= 3, "the build's, and those of the shim's builds"
    assert all(path.read_text().strip() not in ("0", "") for path in marks)
    stolen = list((victim.home / "cache").rglob("stolen-by-*"))
    assert len(stolen) == len(marks)
    assert all(path.read_text() == "" for path in stolen)
    assert not list(victim.home.rglob("connected"))
    assert not list(victim.home.rglob("written"))
    assert (victim.home / ".bashrc").read_text() == "# mine\n"
