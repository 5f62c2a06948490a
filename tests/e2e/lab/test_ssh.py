# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell of real boards against real servers: OpenSSH with this machine's programs, Dropbear with BusyBox's."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.board.api import RemoteFileError
from panthorlab.board.real.ssh import hostkeys
from panthorlab.board.real.ssh.connect import SshShell, connect
from panthorlab.board.real.ssh.hostkeys import HostKeyError
from panthorlab.errors import BootError, LabError, PanthorlabError, UsageError
from tests.e2e.lab import ssh_servers
from tests.e2e.lab.ssh_servers import Server
from tests.processes import alive

pytestmark = pytest.mark.e2e
TMP = "/tmp"  # noqa: S108  the board's
QUICK = "SetEnv SHLVL=1"
"""Spares bash as login shell the user's start-up files, which can take long."""


def shell_on(
    server: Server,
    timeout: float = 60,
    keepalive: float = 5,
    patience: float = 60,
    why_lost: Callable[[], PanthorlabError] | None = None,
) -> SshShell:
    return connect(
        server.section,
        board="board",
        lab_dir=server.directory,
        timeout=timeout,
        keepalive=keepalive,
        patience=patience,
        why_lost=why_lost,
    )


@pytest.fixture(
    scope="module",
    params=[
        "openssh",
        pytest.param("openssh-without-sftp", marks=pytest.mark.full),
        pytest.param("dropbear-busybox", marks=pytest.mark.wide),
    ],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    if request.param == "dropbear-busybox":
        with ssh_servers.dropbear(directory) as server:
            yield server
    else:
        sftp = request.param == "openssh"
        with ssh_servers.openssh(directory, sftp=sftp, extra=f"{QUICK}\nRekeyLimit 16M") as server:
            yield server


@pytest.fixture
def shell(server: Server) -> Iterator[SshShell]:
    shell = shell_on(server)
    yield shell
    shell.close()


@pytest.fixture
def there(server: Server) -> Callable[[str], Path]:
    """Where a path of the board is on this machine."""
    root = server.directory / "root"
    return lambda path: root / path.lstrip("/") if root.exists() else Path(path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which may break it."""
    with ssh_servers.openssh(tmp_path, extra=QUICK) as server:
        yield server


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- commands -------------------------------------------------------------------------------------------------------


def test_output_status_environment(shell: SshShell) -> None:
    done = shell.run(["sh", "-c", 'echo "$A $LANG $PWD"; echo err >&2; exit 7'], timeout=60, env={"A": "x\n'y"})
    assert (done.status, done.stdout, done.stderr) == (7, b"x\n'y C /\n", b"err\n")
    assert shell.run(["sh", "-c", "exit 137"], timeout=60).status == 137
    assert shell.run(["true"], timeout=60).status == 0
    missing = shell.run(["no-such-program"], timeout=60)
    assert missing.status == 127
    assert b"no-such-program" in missing.stderr


@pytest.mark.parametrize("name", ["KILL", "SEGV", "ABRT", "TERM", "USR1", "HUP"])
def test_signals(shell: SshShell, name: str) -> None:
    assert shell.run(["sh", "-c", f"kill -{name} $$"], timeout=60).status == -signal.Signals[f"SIG{name}"]


def test_a_signal_that_ssh_cannot_name_is_no_status(shell: SshShell) -> None:
    with pytest.raises(LabError, match="SSH has no name for"):
        shell.run(["sh", "-c", "kill -BUS $$"], timeout=60)


WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20) | st.sampled_from(
    [
        "",
        "-n",
        "--",
        "-e",
        "'",
        '"',
        "\\",
        "\\'",
        "$(id)",
        "`id`",
        "a\nb",
        "\n",
        "*",
        "~",
        "é",
        "!!",
        "#",
        "a=b",
        ";",
        "\r",
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=8), st.dictionaries(st.from_regex(r"\AV_[a-z]{1,3}\Z"), WORDS, max_size=3))
def test_words_arrive_as_they_are(shell: SshShell, words: list[str], env: dict[str, str]) -> None:
    show = "".join(f'printf "%s\\0" "${name}";' for name in env)
    show = f'for word;do printf "%s\\0" "$word";done;{show}'
    done = shell.run(["sh", "-c", show, "sh", *words], timeout=60, env=env)
    assert done.stdout == b"".join(word.encode() + b"\0" for word in [*words, *env.values()])
    assert (done.status, done.stderr) == (0, b"")


def test_words_that_no_exec_takes(shell: SshShell) -> None:
    for argv, env in ((["a\0b"], {}), ([], {}), (["-x"], {}), (["true", "x" * 200_000], {}), (["true"], {"A B": ""})):
        with pytest.raises(UsageError):
            shell.run(argv, timeout=60, env=env)


def test_64_mib_arrive_intact(shell: SshShell, there: Callable[[str], Path]) -> None:
    """Also over several renewals of the session's keys."""
    path = f"{TMP}/panthorlab-test-{os.getpid()}"
    data = os.urandom(1 << 20) * 64
    there(path).write_bytes(data)
    try:
        digest = hashlib.sha256()
        process = shell.start(["cat", path], on_stdout=digest.update)
        assert process.wait(300) == 0
        assert digest.digest() == hashlib.sha256(data).digest()
    finally:
        there(path).unlink()


def test_binary_stdin(shell: SshShell) -> None:
    data = bytes(range(256)) * 20_000
    done = shell.run(["cat"], stdin=data, timeout=120)
    assert (done.status, done.stdout) == (0, data)
    assert shell.run(["cat"], timeout=60).stdout == b""
    assert shell.run(["true"], stdin=data, timeout=60).status == 0
    with pytest.raises(LabError, match="of its input before the deadline"):
        shell.run(["sleep", "1000"], stdin=data, timeout=2)


def test_a_command_without_end_is_killed_at_the_deadline(shell: SshShell) -> None:
    pids: list[int] = []
    with pytest.raises(LabError, match="did not end within"):
        shell.run(["sleep", "98765"], timeout=3)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # others come and go
            if entry.read_bytes() == b"sleep\00098765\0":
                pids.append(int(entry.parent.name))
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_kill_takes_the_whole_group(shell: SshShell) -> None:
    said = bytearray()
    process = shell.start(["sh", "-c", "sleep 1000 & echo $! $$; wait"], on_stdout=said.extend)
    eventually(lambda: b"\n" in said)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    pids = [int(word) for word in said.split()]
    assert len(pids) == 2
    if not (Path("/proc") / str(pids[0])).exists() or "sleep" in Path(f"/proc/{pids[0]}/comm").read_text():
        eventually(lambda: not any(alive(pid) for pid in pids))
    process.kill()
    assert shell.run(["echo", "well"], timeout=60).stdout == b"well\n"


def test_concurrent_commands(shell: SshShell) -> None:
    def one(number: int) -> bool:
        data = f"{number}\n".encode() * 20_000
        return shell.run(["cat"], stdin=data, timeout=120).stdout == data

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(one, range(36)))


def test_a_slow_callback_holds_back_nobody_else(shell: SshShell) -> None:
    """Its command is stopped by SSH's window, so memory does not grow with what it could say."""
    go, came = threading.Event(), []

    def slow(data: bytes) -> None:
        go.wait(60)
        came.append(len(data))

    process = shell.start(["dd", "if=/dev/zero", "bs=65536", "count=1600"], on_stdout=slow)
    assert shell.run(["echo", "well"], timeout=60).stdout == b"well\n"
    assert shell.ping(60)
    channel = process.channel
    assert channel is not None
    eventually(lambda: len(channel.in_buffer) > 1 << 20)
    assert len(channel.in_buffer) <= 4 << 20
    go.set()
    assert process.wait(120) == 0
    assert sum(came) == 1600 * 65536


def test_an_exception_of_a_callback_is_the_waiters(shell: SshShell) -> None:
    def bad(_data: bytes) -> None:
        raise ValueError("mine")

    process = shell.start(["sh", "-c", "echo x; sleep 1000"], on_stdout=bad)
    with pytest.raises(ValueError, match="mine"):
        process.wait(60)
    eventually(lambda: process.done)


def test_a_callback_may_use_the_shell_but_not_wait_for_itself(shell: SshShell) -> None:
    said: list[bytes] = []
    ready = threading.Event()

    def curious(_data: bytes) -> None:
        ready.wait(60)
        said.append(shell.run(["echo", "inner"], timeout=60).stdout)
        process.wait(1)

    process = shell.start(["echo", "x"], on_stdout=curious)
    ready.set()
    with pytest.raises(RuntimeError, match="may not wait"):
        process.wait(60)
    assert said == [b"inner\n"]


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(there: Callable[[str], Path]) -> Iterator[str]:
    path = f"{TMP}/panthorlab-test-{os.getpid()}"
    shutil.rmtree(there(path), ignore_errors=True)
    there(path).mkdir()
    yield path
    shutil.rmtree(there(path))


def test_put_and_get(shell: SshShell, folder: str, there: Callable[[str], Path]) -> None:
    data = os.urandom(3_000_000)
    path = f'{folder}/it\'s -a "file"\n'
    shell.put(data, path, mode=0o751)
    assert there(path).read_bytes() == data
    assert there(path).stat().st_mode & 0o7777 == 0o751
    assert shell.get(path) == data
    shell.put(b"", path)
    assert shell.get(path) == b""
    assert [entry.name for entry in there(folder).iterdir()] == [Path(path).name]
    assert shell.get("/proc/self/stat").count(b" ") > 20
    assert shell.get("/proc/sys/kernel/random/boot_id").decode().strip() == shell.boot_id


@pytest.mark.parametrize(
    ("path", "number"), [("/no/such", errno.ENOENT), (TMP, errno.EISDIR), ("/proc/version/x", errno.ENOTDIR)]
)
def test_files_that_cannot_be_had(shell: SshShell, path: str, number: int) -> None:
    for use in (lambda: shell.get(path), lambda: shell.put(b"x", path)):
        with pytest.raises(RemoteFileError) as caught:
            use()
        # BusyBox and dd say the same of most things; a path below a file may be "no such file" where it is tested for
        assert caught.value.errno in (number, errno.ENOENT if number == errno.ENOTDIR else number), caught.value


def test_files_of_the_kernel_are_written_in_place(shell: SshShell) -> None:
    for path, number in (("/proc/no-such", errno.ENOENT), ("/proc/sys/kernel/random/boot_id", None)):
        with pytest.raises(RemoteFileError) as caught:
            shell.put(b"1", path)
        assert number in (None, caught.value.errno)
    shell.put(b"0", "/proc/self/oom_score_adj")


def test_put_files_sends_only_what_differs(
    shell: SshShell, folder: str, there: Callable[[str], Path], tmp_path: Path
) -> None:
    files = {}
    for number in range(50):
        source = tmp_path / f"{number}"
        source.write_bytes(os.urandom(number * 1000))
        source.chmod(0o755 if number % 2 else 0o644)
        files[source] = f"{folder}/deep {number % 3}/file-{number}"
    assert set(shell.put_files(files, timeout=120)) == set(files.values())
    assert shell.put_files(files, timeout=120) == ()
    first, second = list(files.items())[7:9]
    there(first[1]).write_bytes(b"damaged")
    there(second[1]).chmod(0o600)
    assert shell.put_files(files, timeout=120) == (first[1],)
    for source, path in files.items():
        assert there(path).read_bytes() == source.read_bytes()
        assert there(path).stat().st_mode & 0o777 == source.stat().st_mode & 0o777
    assert sum(1 for entry in there(folder).rglob("*") if entry.is_file()) == len(files)


def test_put_files_says_which_path_is_a_directory(shell: SshShell, folder: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(RemoteFileError, match=folder) as caught:
        shell.put_files({source: folder}, timeout=60)
    assert caught.value.errno == errno.EISDIR
    with pytest.raises(LabError, match="cannot be read"):
        shell.put_files({tmp_path / "none": f"{folder}/x"}, timeout=60)


def test_put_files_without_sha256sum_reads_back(
    server: Server, shell: SshShell, folder: str, there: Callable[[str], Path], tmp_path: Path
) -> None:
    if "dropbear" not in server.argv[-1]:
        pytest.skip("only the board with BusyBox can be robbed of it")
    source, program = tmp_path / "source", there("/bin/sha256sum")
    source.write_bytes(os.urandom(100_000))
    program.unlink()
    try:
        for _ in range(2):
            assert shell.put_files({source: f"{folder}/file"}, timeout=60) == (f"{folder}/file",)
            assert there(f"{folder}/file").read_bytes() == source.read_bytes()
    finally:
        program.symlink_to("/bin/busybox")


def test_a_damaged_upload_is_never_seen(own: Server, tmp_path: Path) -> None:
    """The board's disk is bad: what it reads is not what was sent."""
    work, source = tmp_path / "work", tmp_path / "source"
    work.mkdir()
    source.write_bytes(b"good")
    (work / "sha256sum").write_text(f"#!/bin/sh\necho {'0' * 64}  -\n")
    (work / "sha256sum").chmod(0o755)
    own.section = own.section.model_copy(update={"work_dir": str(work)})
    shell = shell_on(own)
    with pytest.raises(LabError, match="reached the board damaged"):
        shell.put_files({source: f"{work}/target"}, timeout=60)
    assert [entry.name for entry in work.iterdir()] == ["sha256sum"]
    shell.close()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to mount a small tmpfs")
def test_full_disk(own: Server, tmp_path: Path) -> None:
    small, source = tmp_path / "small", tmp_path / "source"
    small.mkdir()
    source.write_bytes(bytes(4 << 20))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        shell = shell_on(own)
        shell.put(b"old", f"{small}/file")
        for use in (
            lambda: shell.put(source.read_bytes(), f"{small}/file"),
            lambda: shell.put_files({source: f"{small}/file"}, timeout=60),
        ):
            with pytest.raises(RemoteFileError, match=r"disk is full: 4194304 bytes wanted, \d+ KiB free") as caught:
                use()
            assert caught.value.errno == errno.ENOSPC
            assert {entry.name: entry.read_bytes() for entry in small.iterdir()} == {"file": b"old"}
        shell.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_torn_upload_is_never_seen(own: Server, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    shell = shell_on(own)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(shell.put, bytes(400 << 20), f"{target}/file")
        eventually(lambda: any(entry.stat().st_size for entry in target.iterdir()))
        own.signal_all(signal.SIGKILL)
        with pytest.raises(LabError, match="is lost"):
            upload.result(60)
    eventually(lambda: not list(target.iterdir()))


# -- who is there ---------------------------------------------------------------------------------------------------


def test_unknown_key_then_trust_then_changed_key(own: Server, tmp_path: Path) -> None:
    hostkeys.known_hosts(own.directory, "board").unlink()
    shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "host.pub"], capture_output=True, text=True, check=True)
    true = shown.stdout.split()[1]
    with pytest.raises(HostKeyError, match="not been confirmed") as caught:
        shell_on(own)
    assert true in str(caught.value)
    assert "panthorlab boards trust board" in (caught.value.hint or "")

    asked: list[str] = []

    def trust(answer: bool) -> list[str]:
        def confirm(text: str) -> bool:
            asked.append(text)
            return answer

        return hostkeys.trust("board", own.section, lab_dir=own.directory, confirm=confirm)

    assert trust(False) == []
    assert not hostkeys.known_hosts(own.directory, "board").exists()
    assert trust(True) == [f"ED25519 {true}"]
    assert trust(False) == [f"ED25519 {true}"]
    assert len(asked) == 2
    assert true in asked[0]
    assert hostkeys.known_hosts(own.directory, "board").stat().st_mode & 0o777 == 0o600 | (
        own.directory.stat().st_mode & 0o060
    )
    shell_on(own).close()

    own.stop()
    other = ssh_servers.keygen(tmp_path / "other")
    port = own.section.port
    argv = ssh_servers.sshd_argv(own.directory, port, host_key=other, extra=QUICK)
    with ssh_servers.serving(argv, own.directory, port, dict(os.environ)):
        with pytest.raises(HostKeyError, match="has changed: it was") as caught:
            shell_on(own)
        [new] = hostkeys.scan_host_keys("127.0.0.1", port)
        assert str(caught.value).index(true) < str(caught.value).index(hostkeys.fingerprint(new))
        assert trust(True) == [hostkeys.fingerprint(new)]
        assert true in asked[-1]
        shell_on(own).close()


def test_all_kinds_of_keys_are_pinned(tmp_path: Path) -> None:
    kinds = "\n".join(f"HostKey {ssh_servers.keygen(tmp_path / kind, kind)}" for kind in ("rsa", "ecdsa"))
    with ssh_servers.openssh(tmp_path, extra=f"{QUICK}\n{kinds}") as server:
        names = [key.get_name() for key in hostkeys.pinned(server.directory, "board")]
        assert names == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
        shell_on(server).close()
        hostkeys.pin(server.directory, "board", hostkeys.pinned(server.directory, "board")[2:])
        shell_on(server).close()


def test_refused_login_is_final(own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(**changes: str | None) -> PanthorlabError:
        section = own.section.model_copy(update=changes)
        with pytest.raises(PanthorlabError) as caught:
            connect(section, board="board", lab_dir=own.directory, timeout=3600)
        return caught.value

    wrong = str(ssh_servers.keygen(tmp_path / "wrong"))
    assert "log in by the key" in str(attempt(key_file=wrong))
    assert "does not exist" in str(attempt(key_file="/no/such"))
    by_password: dict[str, str | None] = {"key_file": None, "password_env": "BOARD_PASSWORD"}
    assert "the environment variable BOARD_PASSWORD" in str(attempt(**by_password))
    monkeypatch.setenv("BOARD_PASSWORD", "hunter2")
    refused = attempt(**by_password)
    assert "the password in $BOARD_PASSWORD" in str(refused)
    assert "hunter2" not in f"{refused} {refused.hint}"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", wrong], check=True)
    assert "passphrase" in str(attempt(key_file=wrong))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert "ssh-agent and ~/.ssh" in str(attempt(key_file=None))


def test_keys_of_the_agent(own: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        eventually((tmp_path / "agent").exists)
        subprocess.run(["ssh-add", "-q", own.directory / "id"], check=True, stderr=subprocess.DEVNULL)
        section = own.section.model_copy(update={"key_file": None})
        connect(section, board="board", lab_dir=own.directory, timeout=60).close()
    finally:
        agent.kill()
        agent.wait()


# -- trouble --------------------------------------------------------------------------------------------------------


def test_start_up_files_that_talk_are_not_the_command(tmp_path: Path) -> None:
    talk = "ForceCommand echo welcome; echo warning >&2; printf 'no newline'; eval \"$SSH_ORIGINAL_COMMAND\""
    with ssh_servers.openssh(tmp_path, extra=f"{QUICK}\n{talk}") as server:
        shell = shell_on(server)
        done = shell.run(["sh", "-c", "echo out; echo err >&2"], timeout=60)
        assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
        shell.close()


def test_a_login_that_runs_nothing_is_quoted(tmp_path: Path) -> None:
    with (
        ssh_servers.openssh(tmp_path, extra=f"{QUICK}\nForceCommand echo This account is not available.") as server,
        pytest.raises(LabError, match="This account is not available"),
    ):
        shell_on(server)


def test_more_commands_than_the_server_allows(tmp_path: Path) -> None:
    with ssh_servers.openssh(tmp_path, extra=f"{QUICK}\nMaxSessions 2") as server:
        shell = shell_on(server)
        first = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
        second = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
        with pytest.raises(LabError, match="refuses to run `true`"):
            shell.run(["true"], timeout=60)
        first.kill()
        assert first.wait(60) == -signal.SIGKILL
        assert shell.run(["true"], timeout=60).status == 0
        shell.close()
        eventually(lambda: first.done and second.done)


def test_server_killed_under_a_command(own: Server) -> None:
    shell = shell_on(own)
    process = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
    own.signal_all(signal.SIGKILL)
    with pytest.raises(LabError, match="SSH connection to board board is lost"):
        process.wait(600)
    with pytest.raises(LabError, match="is lost"):
        shell.run(["true"], timeout=600)
    with pytest.raises(LabError, match="is lost"):
        shell.ping(600)
    shell.close()
    shell.close()


def test_the_boards_own_diagnosis_is_raised(own: Server) -> None:
    shell = shell_on(own, why_lost=lambda: BootError("kernel panic"))
    process = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
    own.signal_all(signal.SIGKILL)
    for use in (lambda: process.wait(600), lambda: shell.get("/proc/version"), lambda: shell.ping(600)):
        with pytest.raises(BootError, match="kernel panic"):
            use()
    shell.close()


def test_a_stopped_server_is_noticed(own: Server) -> None:
    shell = shell_on(own, keepalive=0.2, patience=3)
    process = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
    own.signal_all(signal.SIGSTOP)
    with pytest.raises(LabError, match=r"is lost: .*no answer for 3 s"):
        process.wait(600)
    shell.close()


def test_deadlines_while_the_server_is_stopped(own: Server) -> None:
    shell = shell_on(own, keepalive=600)
    process = shell.start(["sleep", "1000"], on_stdout=lambda _data: None)
    assert shell.ping(60)
    own.signal_all(signal.SIGSTOP)
    assert not shell.ping(0.5)
    with pytest.raises(LabError, match="did not end within"):
        process.wait(0.5)
    with pytest.raises(LabError, match="did not begin `true`"):
        shell.run(["true"], timeout=0.5)
    own.signal_all(signal.SIGCONT)
    assert shell.run(["echo", "again"], timeout=60).stdout == b"again\n"
    shell.close()


def test_a_command_that_survived_its_connection_is_killed_by_a_new_one(own: Server) -> None:
    shell = shell_on(own)
    said = bytearray()
    process = shell.start(["sh", "-c", "echo $$; exec sleep 1000"], on_stdout=said.extend)
    eventually(lambda: b"\n" in said)
    pid = int(said)
    for session in own.sessions():
        for child in ssh_servers.descendants(session):
            if child != pid:
                os.kill(child, signal.SIGKILL)
        os.kill(session, signal.SIGKILL)
    with pytest.raises(LabError, match="is lost"):
        process.wait(60)
    assert alive(pid)
    process.kill()
    eventually(lambda: not alive(pid))
    shell.close()


def test_close_leaves_nothing_running(own: Server) -> None:
    shell = shell_on(own)
    said = bytearray()
    process = shell.start(["sh", "-c", "echo $$; exec sleep 1000"], on_stdout=said.extend)
    eventually(lambda: b"\n" in said)
    shell.close()
    eventually(lambda: not alive(int(said)))
    with suppress(LabError):  # unless its end was told before the connection was closed
        assert process.wait(10) == -signal.SIGKILL
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("ssh")]
    assert not [name for name in threads if name in ("ssh-board", "ssh sh")]


def test_a_booting_board_is_waited_for(own: Server) -> None:
    own.stop()
    port = own.section.port
    with pytest.raises(LabError, match=rf"within 1 s; the last attempt at 127.0.0.1:{port} met: .*refused"):
        shell_on(own, timeout=1)
    with ThreadPoolExecutor(1) as pool:
        shell = pool.submit(shell_on, own, 60)
        with ssh_servers.serving(own.argv, own.directory, port, dict(os.environ)):
            shell.result(60).close()


def test_a_server_that_says_nothing(own: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        section = own.section.model_copy(update={"port": silent.getsockname()[1]})
        with pytest.raises(LabError, match=r"the last attempt at .* met: .*banner"):
            connect(section, board="board", lab_dir=own.directory, timeout=2)
        with pytest.raises(LabError, match="showed no SSH host key"):
            hostkeys.scan_host_keys("127.0.0.1", section.port, timeout=0.5)
