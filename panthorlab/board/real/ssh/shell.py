# SPDX-License-Identifier: GPL-2.0-or-later
"""A `SecureShell` over SSH: each command has a channel of its own and a thread that calls its callbacks.

Memory is bounded by SSH's windows: a slow callback blocks only its own command.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import paramiko

from panthorlab.board.api import Completed, OnBytes, collect
from panthorlab.board.real.ssh import command as ssh_command
from panthorlab.board.real.ssh import remote_files
from panthorlab.board.real.ssh.pool import KEEPALIVE, Pool
from panthorlab.board.real.ssh.process import START_TIMEOUT, SshProcess
from panthorlab.board.real.ssh.wire import Login, UnpinnedKeyError
from panthorlab.errors import LabError, PanthorlabError

FILE_TIMEOUT: Final = 60.0
KILL_TIMEOUT: Final = 10.0
MOST_COMMANDS: Final = 8
"""Maximum number of concurrent commands. OpenSSH allows 10 channels; one is for files, one for kills."""
_CHUNK: Final = 1 << 15


class SshShell:
    """Commands and files on a board over SSH (`SecureShell`). Made by `ssh.connect`. Thread-safe; callbacks may use it.

    `why_lost` gives the board's diagnosis when the connection has ended; without it, a LabError is raised.
    """

    def __init__(
        self,
        login: Login,
        *,
        board: str,
        env: Mapping[str, str],
        login_again: Callable[[float], Login],
        why_lost: Callable[[], PanthorlabError] | None = None,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self._board, self._env = board, dict(env)
        self._pool = Pool(login, board=board, login_again=login_again, why_lost=why_lost, keepalive=keepalive)
        self._changed = self._pool.changed
        self._running: set[SshProcess] = set()
        self._slots = threading.BoundedSemaphore(MOST_COMMANDS)
        self._killing = threading.Lock()
        self._reapers: list[threading.Thread] = []
        self.boot_id = ""

    # -- Shell ------------------------------------------------------------------------------------------------

    def start(
        self,
        argv: Sequence[str],
        *,
        on_stdout: OnBytes,
        on_stderr: OnBytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> SshProcess:
        """Start argv (no shell), with empty stdin. Callbacks get raw chunks in order, in one thread of this command;
        slow callbacks block the command once SSH's window is full."""
        streams = on_stdout, on_stderr or (lambda _data: None)
        return self._start(argv, env, streams, with_stdin=False, timeout=START_TIMEOUT)

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Completed:
        """Run argv to its end; a non-zero status is no exception. At the deadline it is killed: LabError."""
        return collect(
            argv,
            timeout,
            lambda out, err: self._start(argv, env, (out, err), with_stdin=bool(stdin), timeout=timeout),
            (lambda process, deadline: self._feed(process, stdin, deadline)) if stdin else None,
        )

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file on the board, whole or not at all; in place below /proc and /sys. Raises RemoteFileError."""
        remote_files.put(self, data, path, mode=mode, timeout=FILE_TIMEOUT + len(data) / remote_files.SLOWEST)

    def get(self, path: str) -> bytes:
        """Read a file of the board, also from /proc and /sys (a stream like /dev/kmsg: what it holds now)."""
        return remote_files.get(self, path, timeout=FILE_TIMEOUT)

    def put_files(self, files: Mapping[Path, str], *, timeout: float) -> tuple[str, ...]:
        """Copy files of the host to the board, with their modes, verified by SHA-256; unchanged ones are skipped.
        Returns the paths that were written. Raises RemoteFileError, LabError."""
        return remote_files.put_files(self, files, timeout=timeout)

    # -- SecureShell ------------------------------------------------------------------------------------------

    def ping(self, timeout: float) -> bool:
        """Whether the board's SSH server responds in time. Raises the board's diagnosis if the connection is lost."""
        return self._pool.ping(timeout)

    def abandon(self, after: float) -> None:
        """The board is known to be dead: after `after` seconds the connection counts as lost, and all waits end."""
        self._pool.abandon(after)

    def ask_why(self, why_lost: Callable[[], PanthorlabError]) -> None:
        """From now on, waiters get the result of `why_lost` when the connection breaks."""
        self._pool.ask_why(why_lost)

    def close(self) -> None:
        """Kill running commands, if the board can be reached, and hang up. Idempotent."""
        with self._changed:
            if self._pool.closing:
                return
            self._pool.closing = True
            self._changed.notify_all()
            running = list(self._running)
        for process in running:
            if self.lost is None:
                process.kill()
        self._pool.hang_up()
        for process in running:
            if process.thread is not threading.current_thread():
                process.thread.join(KILL_TIMEOUT)
        for thread in self._reapers:
            if thread is not threading.current_thread():
                thread.join(KILL_TIMEOUT)
        self._pool.join(KILL_TIMEOUT)

    # -- connections, for commands and files -------------------------------------------------------------------

    @property
    def lost(self) -> str | None:
        """Why the connection has ended, if it has."""
        return self._pool.lost

    def gone(self, login: Login | None = None) -> PanthorlabError:
        """The error for users of a connection that is lost or closed."""
        return self._pool.gone(login)

    def borrow(self, title: str) -> Login:
        """See `Pool.borrow`."""
        return self._pool.borrow(title)

    def give_back(self, login: Login) -> None:
        """Return a connection whose command has ended."""
        self._pool.give_back(login)

    def open_sftp(self, timeout: float) -> paramiko.SFTPClient | None:
        """An SFTP client; None if the board's SSH server has no SFTP, or is Dropbear."""
        return self._pool.open_sftp(timeout)

    # -- for processes ----------------------------------------------------------------------------------------

    def change(
        self,
        process: SshProcess,
        *,
        status: int | None = None,
        error: BaseException | None = None,
        begun: bool = False,
        done: bool = False,
    ) -> None:
        """Update the state of a process and wake its waiters. The first error is kept."""
        with self._changed:
            process.status = process.status if status is None else status
            process.error = process.error or error
            process.begun = process.begun or begun
            process.done = process.done or done
            if done:
                self._running.discard(process)
            self._changed.notify_all()

    def wait_process(self, process: SshProcess, timeout: float) -> int:
        if threading.current_thread() is process.thread:
            raise RuntimeError("a callback may not wait for its own command")
        self._pool.wait_until(lambda: process.ended, timeout)
        if process.error is not None:
            if not process.done:  # a callback has failed, and the command goes on
                process.kill()
            raise process.error
        if process.status is None:
            raise LabError(
                f"`{process.title}` on board {self._board} did not end within {timeout:g} s",
                hint="a hung program or a stuck driver: see the console log and /dev/kmsg of the run",
            )
        return process.status

    def kill_process(self, process: SshProcess) -> None:
        """Kill a process if the board can be reached; else stop waiting for it."""
        with self._changed:
            self._changed.wait_for(lambda: process.begun or process.done, KILL_TIMEOUT)
        if process.done and (process.status is not None or process.pid is None):
            return
        if process.pid is None:
            process.give_up()
        elif self._pool.closed or (self.lost is None and self._kill(process.pid)):
            return
        else:  # it may outlive its connection; do not wait for a board that may be dead
            reaper = threading.Thread(target=self._kill_anew, args=(process.pid,), name="ssh-reaper", daemon=True)
            with self._changed:
                self._reapers.append(reaper)
            reaper.start()

    def _kill_anew(self, pid: int) -> None:
        """Kill over a new connection. After one failed attempt the board counts as out of reach."""
        with self._killing:
            if self._pool.out_of_reach:
                return
            try:
                login = self._pool.login_again(KILL_TIMEOUT)
            except (PanthorlabError, UnpinnedKeyError, OSError, EOFError, paramiko.SSHException):
                self._pool.out_of_reach = True  # the command's waiter gets the error; nothing more can be done
                return
            try:
                self._kill(pid, login)
            finally:
                login.close()

    def _kill(self, pid: int, login: Login | None = None) -> bool:
        """Run the kill command; False if it did not reach the board."""
        argv = ["/bin/sh", "-c", ssh_command.KILL, "sh", self.boot_id, str(pid)]
        killer = SshProcess(self, argv, {}, (_ignore, _ignore), login=login)
        killer.refusal_time = 1.0  # if all channels are in use, a new connection helps
        killer.thread.start()
        with self._changed:
            self._changed.wait_for(lambda: killer.done, KILL_TIMEOUT)
        killer.give_up()
        return killer.status == 0

    # -- its own ----------------------------------------------------------------------------------------------

    def _start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        streams: tuple[OnBytes, OnBytes],
        *,
        with_stdin: bool,
        timeout: float,
    ) -> SshProcess:
        deadline = time.monotonic() + min(timeout, START_TIMEOUT)
        process = SshProcess(self, argv, {**self._env, **(env or {})}, streams, with_stdin=with_stdin)
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LabError(
                f"{MOST_COMMANDS} commands run on board {self._board} already: no room for `{process.title}`"
            )
        process.at_end = self._slots.release
        with self._changed:
            if self._pool.closing or self.lost is not None:
                self._slots.release()
                raise self.gone()
            self._running.add(process)
        process.thread.start()
        try:
            self._pool.wait_until(lambda: process.begun or process.ended, max(0.0, deadline - time.monotonic()))
            if process.error is not None and not process.begun:
                raise process.error
            if not process.begun and not process.ended:
                raise LabError(f"board {self._board} did not begin `{process.title}` within {timeout:g} s")
        except BaseException:
            process.give_up()
            raise
        return process

    def _feed(self, process: SshProcess, data: bytes, deadline: float) -> None:
        """Send `data` and then end-of-file to the process, as fast as it reads; stops early if the process ends."""
        channel = process.channel
        assert channel is not None  # noqa: S101  it has begun
        sent = 0
        try:
            while sent < len(data):
                channel.settimeout(max(0.001, deadline - time.monotonic()))
                taken = channel.send(data[sent : sent + _CHUNK])
                if not taken:
                    return
                sent += taken
            channel.shutdown_write()
        except TimeoutError:
            raise LabError(
                f"`{process.title}` on board {self._board} read {sent} of {len(data)} bytes of its input "
                "before the deadline"
            ) from None
        except (OSError, EOFError, paramiko.SSHException):
            pass  # the process or the connection has ended: `wait` reports it


def _ignore(_data: bytes) -> None:
    pass
