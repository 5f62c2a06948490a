# SPDX-License-Identifier: GPL-2.0-or-later
"""Quoting, the preamble, errors of files and pinned keys; and servers that fail at the worst moment."""

from __future__ import annotations

import errno
import re
import shlex
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.api import Completed
from panthorlab.board.real.file import Ssh
from panthorlab.board.real.parts import NoServerError, SecureShell
from panthorlab.board.real.ssh import command as ssh_command
from panthorlab.board.real.ssh import hostkeys, remote_files
from panthorlab.board.real.ssh.connect import connect
from panthorlab.errors import LabError, UsageError

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


# -- words ----------------------------------------------------------------------------------------------------------


@given(st.lists(TEXT, max_size=6), st.dictionaries(st.from_regex(r"\A[A-Z_]{1,5}\Z"), TEXT, max_size=3))
def test_a_posix_shell_gets_the_words_back(words: list[str], env: dict[str, str]) -> None:
    line = ssh_command.command_line("mark", ["prog", *words], env).decode()
    assert shlex.split(line) == [
        "exec",
        "/bin/sh",
        "-c",
        ssh_command.WRAPPER,
        "sh",
        "mark",
        *(f"{name}={value}" for name, value in env.items()),
        "--",
        "prog",
        *words,
    ]


def test_a_real_shell_runs_the_wrapper() -> None:
    line = ssh_command.command_line("mark", ["sh", "-c", 'echo $$ "$A"; exit 3'], {"A": "x\n y"})
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False)
    mark, _, rest = done.stdout.partition(b"\n")
    assert done.returncode == 3
    assert rest == mark.removeprefix(b"mark ") + b" x\n y\n"
    assert done.stderr == mark + b"\n"


@given(st.binary(max_size=50), st.binary(max_size=50), st.lists(st.integers(1, 20), max_size=20))
def test_preamble_gives_back_what_follows_the_mark(noise: bytes, output: bytes, cuts: list[int]) -> None:
    stream, preamble, came = noise + b"nonce 4711\n" + output, ssh_command.Preamble("nonce"), b""
    for size in [*cuts, len(stream)]:
        came += preamble.feed(stream[:size])
        stream = stream[size:]
    assert (came, preamble.pid) == (output, 4711)


def test_endless_noise_ends() -> None:
    preamble = ssh_command.Preamble("nonce")
    assert preamble.feed(bytes(ssh_command.MOST_NOISE)) == b""
    with pytest.raises(LabError, match="talks without end"):
        preamble.feed(b"x")


@pytest.mark.parametrize("argv", [[], [""], ["-x"], ["a\0b"], ["x", "y" * 200_000]])
def test_commands_that_cannot_be(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        ssh_command.command_line("mark", argv, {})


@pytest.mark.parametrize(
    ("stderr", "number"),
    [
        (b"dd: failed to open '/x': No such file or directory\n", errno.ENOENT),
        (b"1+0 records in\n0+0 records out\ndd: error writing '/x: y': No space left on device\n", errno.ENOSPC),
        (b"dd: can't open '/sys/x': Resource busy\n", errno.EBUSY),
        (b": Is a directory\n", errno.EISDIR),
        (b"dd: writing '/x': a new kind of trouble\n", remote_files.UNKNOWN),
        (b"", remote_files.UNKNOWN),
    ],
)
def test_errno_of_what_programs_say(stderr: bytes, number: int) -> None:
    assert remote_files._errno_of(Completed(("dd",), 1, b"", stderr)) == number
    assert remote_files._errno_of(Completed(("dd",), -9, b"", stderr)) == -9


# -- host keys ------------------------------------------------------------------------------------------------------


def test_pinned_keys_are_private_and_one_boards_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first, second = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    assert hostkeys.pinned(tmp_path, "a") == []
    hostkeys.pin(tmp_path, "a", [first])
    hostkeys.pin(tmp_path, "b", [second])
    hostkeys.pin(tmp_path, "a", [second])
    assert hostkeys.pinned(tmp_path, "a") == hostkeys.pinned(tmp_path, "b") == [second]
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.known_hosts", "b.known_hosts"}
    assert stat.S_IMODE(hostkeys.known_hosts(tmp_path, "a").stat().st_mode) == 0o600
    tmp_path.chmod(0o2770)
    hostkeys.pin(tmp_path, "a", [second])
    assert stat.S_IMODE(hostkeys.known_hosts(tmp_path, "a").stat().st_mode) == 0o660


def test_pinning_where_one_may_not(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be written"):
        hostkeys.pin(tmp_path / "none", "a", [])


# -- servers that fail ----------------------------------------------------------------------------------------------


def begin(channel: paramiko.Channel, mark: bytes) -> None:
    channel.sendall_stderr(mark + b" 7\n")
    channel.sendall(mark + b" 7\n")


HOST_KEY = paramiko.ECDSAKey.generate()


class ServerTransport(paramiko.Transport):
    """Starts a command's thread when the client was told that the command is accepted: paramiko tells it only after
    `check_channel_exec_request`, and a command that is quick would have its channel closed by then.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.accepted: list[threading.Thread] = []

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]  # private, and so not in the stubs
        if data.asbytes()[:1] == paramiko.common.cMSG_CHANNEL_SUCCESS:
            self.accepted.pop().start()


class Faulty(paramiko.ServerInterface):
    """Lets everybody in. `play` gets the channel and the mark of each command, in a thread of its own."""

    def __init__(self, play: Callable[[paramiko.Channel, bytes], None]) -> None:
        self.play = play
        self.hang_in_auth = self.hang_in_exec = False
        self.release = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        if self.hang_in_auth:
            self.release.wait(60)
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        mark, transport = re.search(rb"panthorlab-[0-9a-f]{16}", command), channel.get_transport()
        assert mark is not None
        assert isinstance(transport, ServerTransport)
        if b"/sys/kernel/random/boot_id" in command:
            word = shlex.split(command.decode())[-1].encode()
            thread = threading.Thread(target=self.finish, args=(channel, mark[0], b"boot-id\n" + word), daemon=True)
        else:
            if self.hang_in_exec:
                self.release.wait(60)
            thread = threading.Thread(target=self.play, args=(channel, mark[0]), daemon=True)
        transport.accepted.append(thread)
        return True

    @staticmethod
    def finish(channel: paramiko.Channel, mark: bytes, answer: bytes) -> None:
        begin(channel, mark)
        channel.sendall(answer)
        channel.send_exit_status(0)
        channel.close()


@contextmanager
def faulty(server: Faulty, lab_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssh]:
    monkeypatch.setenv("SECRET", "x")
    transports: list[paramiko.Transport] = []
    hostkeys.pin(lab_dir, "board", [HOST_KEY])
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                transport = ServerTransport(sock)
                transports.append(transport)
                transport.add_server_key(HOST_KEY)
                transport.start_server(event=threading.Event(), server=server)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield Ssh.model_validate({"host": "127.0.0.1", "port": listener.getsockname()[1], "password_env": "SECRET"})
        finally:
            server.release.set()
            listener.shutdown(socket.SHUT_RDWR)
            for transport in transports:
                transport.close()


def shell_on(
    section: Ssh, lab_dir: Path, timeout: float = 30, keepalive: float = 5, patience: float = 20
) -> SecureShell:
    return connect(section, board="board", lab_dir=lab_dir, timeout=timeout, keepalive=keepalive, patience=patience)


def test_connection_dropped_in_mid_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came = threading.Event()

    def play(channel: paramiko.Channel, mark: bytes) -> None:
        begin(channel, mark)
        channel.sendall(b"half of the tr")
        came.wait(30)
        transport = channel.get_transport()
        assert transport is not None
        transport.close()

    with faulty(Faulty(play), tmp_path, monkeypatch) as section:
        shell, said = shell_on(section, tmp_path), bytearray()

        def hear(data: bytes) -> None:
            said.extend(data)
            came.set()

        process = shell.start(["truth"], on_stdout=hear)
        with pytest.raises(LabError, match="SSH connection to board board is lost"):
            process.wait(30)
        assert said == b"half of the tr"
        shell.close()


def _at(port: int) -> Ssh:
    return Ssh.model_validate({"host": "127.0.0.1", "port": port})


@pytest.mark.parametrize("forwarded", ["", "closes", "resets"])
def test_machine_without_ssh_server(tmp_path: Path, forwarded: str) -> None:
    """Its kernel answers, as one that hangs does not: by a refusal or, behind a forwarder, by hanging up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    if forwarded == "resets":
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        if forwarded:
            threading.Thread(target=hang_up, daemon=True).start()
        else:
            listener.close()
        with pytest.raises(NoServerError):
            connect(_at(port), board="rock", lab_dir=tmp_path, timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(LabError) as met:
        connect(_at(mute.getsockname()[1]), board="rock", lab_dir=tmp_path, timeout=1)
    assert not isinstance(met.value, NoServerError)


def test_server_that_hangs_in_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Faulty(lambda _channel, _mark: None)
    server.hang_in_auth = True
    with (
        faulty(server, tmp_path, monkeypatch) as section,
        pytest.raises(LabError, match=r"could not be reached by SSH within 1 s.*met: Authentication timeout"),
    ):
        shell_on(section, tmp_path, timeout=1)


def test_server_that_hangs_in_exec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers no keepalive either: first the deadline of the command, then the loss of the connection."""
    server = Faulty(lambda _channel, _mark: None)
    with faulty(server, tmp_path, monkeypatch) as section:
        shell = shell_on(section, tmp_path, keepalive=0.2, patience=1.5)
        server.hang_in_exec = True
        with pytest.raises(LabError, match="did not begin `true`"):
            shell.run(["true"], timeout=0.3)
        with pytest.raises(LabError, match=r"is lost: .*no answer for 1.5 s"):
            shell.run(["true"], timeout=30)
        shell.close()


def test_command_that_began_on_one_stream_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stdout is broken: an empty one would be a lie."""

    def play(channel: paramiko.Channel, mark: bytes) -> None:
        channel.sendall_stderr(mark + b" 7\n")
        channel.send_exit_status(0)
        channel.close()

    with faulty(Faulty(play), tmp_path, monkeypatch) as section:
        shell = shell_on(section, tmp_path)
        with pytest.raises(LabError, match="ran no `cat`"):
            shell.run(["cat"], timeout=30)
        shell.close()


def test_command_that_ends_without_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(channel: paramiko.Channel, mark: bytes) -> None:
        begin(channel, mark)
        channel.close()

    with faulty(Faulty(play), tmp_path, monkeypatch) as section:
        shell = shell_on(section, tmp_path)
        with pytest.raises(LabError, match="SSH has no name for"):
            shell.run(["true"], timeout=30)
        shell.close()


def test_a_login_shell_that_changes_words_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Faulty(lambda _channel, _mark: None)
    monkeypatch.setattr(
        Faulty,
        "finish",
        staticmethod(
            lambda channel, mark, answer, finish=Faulty.finish: finish(channel, mark, answer.replace(b"'", b""))
        ),
    )
    with (
        faulty(server, tmp_path, monkeypatch) as section,
        pytest.raises(LabError, match="changes what it is told to run"),
    ):
        shell_on(section, tmp_path)
