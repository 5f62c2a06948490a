# SPDX-License-Identifier: GPL-2.0-or-later
"""One command on a board over SSH: a channel, a thread that calls its callbacks, and its result."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from signal import Signals
from typing import Final

import paramiko

from panthorlab.board.api import OnBytes
from panthorlab.board.real.ssh import command as ssh_command
from panthorlab.board.real.ssh.command import Preamble
from panthorlab.board.real.ssh.ports import Owner
from panthorlab.board.real.ssh.wire import Login
from panthorlab.errors import LabError

REFUSAL_TIME: Final = 10.0
"""Seconds during which a refused command is retried."""
START_TIMEOUT: Final = 30.0
WINDOW: Final = 4 << 20
"""Bytes of output buffered for a slow callback; beyond them the command is blocked."""
_PACKET: Final = 1 << 17


class _Wake(threading.Event):
    """An event that two streams share: only `rearm` clears it, although paramiko clears it when a stream is empty."""

    def clear(self) -> None:
        pass

    def rearm(self) -> None:
        super().clear()


class SshProcess:
    """A command on the board (`RemoteProcess`). Its fields are guarded by the shell's condition."""

    def __init__(
        self,
        shell: Owner[SshProcess],
        argv: Sequence[str],
        env: Mapping[str, str],
        streams: tuple[OnBytes, OnBytes],
        *,
        with_stdin: bool = False,
        login: Login | None = None,
    ) -> None:
        mark = f"panthorlab-{secrets.token_hex(8)}"
        self.title = ssh_command.title(argv)
        self.status: int | None = None
        self.error: BaseException | None = None
        self.begun = self.done = False
        self.channel: paramiko.Channel | None = None
        self.at_end: Callable[[], None] = lambda: None
        self.refusal_time = REFUSAL_TIME
        self._given_up = False
        self._line = ssh_command.command_line(mark, argv, env)
        self._shell, self._login, self._streams, self._with_stdin = shell, login, streams, with_stdin
        self._preambles = Preamble(mark), Preamble(mark)
        self._wake = _Wake()
        self.thread = threading.Thread(target=self._main, name=f"ssh {argv[0]}", daemon=True)

    def wait(self, timeout: float) -> int:
        """Exit status (or -signal) once it has ended and all its output was delivered. Raises LabError at the deadline;
        if the connection was lost, the board's diagnosis."""
        return self._shell.wait_process(self, timeout)

    def kill(self) -> None:
        """SIGKILL to the process and all others in its process group; safe when it has ended."""
        self._shell.kill_process(self)

    @property
    def pid(self) -> int | None:
        return self._preambles[0].pid or self._preambles[1].pid

    @property
    def ended(self) -> bool:
        return self.status is not None or self.error is not None

    def give_up(self) -> None:
        """Stop waiting for the command; it may or may not go on running on the board."""
        self._given_up = True
        if self.channel is not None:
            self.channel.close()

    # -- its own thread ---------------------------------------------------------------------------------------

    def _main(self) -> None:
        status = error = None
        try:
            with ExitStack() as undo:
                if self._login is None:
                    self._login = self._shell.borrow(self.title)
                    undo.callback(self._shell.give_back, self._login)
                status = self._run(self._login)
        except Exception as raised:  # raised in the thread that waits for the process
            error = raised
        self.at_end()
        self._shell.change(self, status=status, error=error, done=True)

    def _run(self, login: Login) -> int:
        channel = self._open(login)
        with suppress(OSError, EOFError, paramiko.SSHException):  # it has ended already
            if not self._with_stdin:
                channel.shutdown_write()
        over = False
        while not over:
            self._wake.wait()
            self._wake.rearm()
            over = channel.closed
            while channel.recv_ready():
                self._hand_over(0, channel.recv(WINDOW))
            while channel.recv_stderr_ready():
                self._hand_over(1, channel.recv_stderr(WINDOW))
        return self._final_status(login, channel)

    def _open(self, login: Login) -> paramiko.Channel:
        """A channel that runs the command. OpenSSH refuses new channels briefly while it cleans up ended ones."""
        deadline = time.monotonic() + self.refusal_time
        while True:
            try:
                channel = login.transport.open_session(WINDOW, _PACKET, START_TIMEOUT)
                self.channel = channel
                if self._given_up:
                    channel.close()
                channel.in_buffer.set_event(self._wake)
                channel.in_stderr_buffer.set_event(self._wake)
                channel.exec_command(self._line)
            except (OSError, EOFError, paramiko.SSHException) as error:
                if self._given_up:
                    raise LabError(f"`{self.title}` on the board was given up") from error
                if not login.transport.is_active():
                    raise self._shell.gone(login) from error
                if time.monotonic() > deadline:
                    raise LabError(f"the board's SSH server refuses to run `{self.title}`: {error}") from error
                time.sleep(0.05)
            else:
                return channel

    def _hand_over(self, stream: int, data: bytes) -> None:
        data = self._preambles[stream].feed(data)
        if self.pid is not None and not self.begun:
            self._shell.change(self, begun=True)
        if not data or self.error is not None:
            return
        try:
            self._streams[stream](data)
        except Exception as error:  # the waiter kills the command; its output is dropped until then
            self._shell.change(self, error=error)

    def _final_status(self, login: Login, channel: paramiko.Channel) -> int:
        if channel.exit_status < 0 and not hasattr(channel, "closed_by_board"):
            if self._given_up:
                raise LabError(f"`{self.title}` on the board was given up")
            login.transport.join(START_TIMEOUT)  # it is about to report the reason
            raise self._shell.gone(login)
        if any(preamble.pid is None for preamble in self._preambles):
            noise = b"".join(bytes(preamble.noise) for preamble in self._preambles).decode("utf-8", "replace").strip()
            raise LabError(
                f"the board ran no `{self.title}`; its login shell said: {noise[-500:] or 'nothing'}",
                hint="the board's user needs a login shell with POSIX quoting, /bin/sh, /proc and `setsid`",
            )
        if channel.exit_status >= 0:
            return channel.exit_status
        name = getattr(channel, "exit_signal", "?")
        try:
            return -Signals[f"SIG{name}"]
        except KeyError:
            raise LabError(
                f"`{self.title}` was killed on the board by a signal that SSH has no name for (such as "
                "SIGBUS or SIGTRAP)",
                hint="start it by `iterate`, which reports every signal",
            ) from None
