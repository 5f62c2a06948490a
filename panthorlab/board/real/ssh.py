# SPDX-License-Identifier: GPL-2.0-or-later
"""A `SecureShell` over one SSH connection: each command has a channel of its own and a thread that feeds its callbacks.

Memory is bounded by SSH's windows: a slow callback holds back its own command and nothing else. One more thread asks
the board every few seconds whether it is there, so that a dead one is noticed while nothing is said.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Final

import paramiko

from panthorlab.board.api import Completed
from panthorlab.board.real import hostkeys, remote_files, ssh_command
from panthorlab.board.real.file import Ssh
from panthorlab.board.real.ssh_command import Preamble
from panthorlab.board.real.ssh_wire import Login, UnpinnedKeyError, what_happened, why_not
from panthorlab.errors import LabError, PanthorlabError

START_TIMEOUT: Final = 30.0
FILE_TIMEOUT: Final = 60.0
KILL_TIMEOUT: Final = 10.0
REFUSAL_TIME: Final = 10.0
"""Seconds that a refused command is tried again."""
KEEPALIVE: Final = 5.0
"""Seconds between two questions whether the board is there."""
PATIENCE: Final = 20.0
"""Seconds that a question may stay unanswered before the connection counts as lost."""
MOST_COMMANDS: Final = 8
"""At the same time. OpenSSH allows 10 channels; one is for files, one for kills."""
RETRY: Final = 1.0
_WINDOW: Final = 4 << 20
_PACKET: Final = 1 << 17
_CHUNK: Final = 1 << 15
OnBytes = Callable[[bytes], None]


class _Wake(threading.Event):
    """paramiko clears the event of a stream that was read empty; this one is shared by two, and cleared by `rearm`."""

    def clear(self) -> None:
        pass

    def rearm(self) -> None:
        super().clear()


class SshProcess:
    """A command on the board (`RemoteProcess`). Its fields are guarded by the shell's condition."""

    def __init__(self, shell: SshShell, login: Login, argv: Sequence[str], env: Mapping[str, str],
                 streams: tuple[OnBytes, OnBytes], *, with_stdin: bool) -> None:
        mark = f"panthorlab-{secrets.token_hex(8)}"
        self.title = ssh_command.title(argv)
        self.status: int | None = None
        self.error: BaseException | None = None
        self.begun = self.done = False
        self.channel: paramiko.Channel | None = None
        self.at_end: Callable[[], None] = lambda: None
        self._given_up = False
        self._line = ssh_command.command_line(mark, argv, env)
        self._shell, self._login, self._streams, self._with_stdin = shell, login, streams, with_stdin
        self._preambles = Preamble(mark), Preamble(mark)
        self._wake = _Wake()
        self.thread = threading.Thread(target=self._main, name=f"ssh {argv[0]}", daemon=True)

    def wait(self, timeout: float) -> int:
        """Exit status (or -signal) once it has ended and all its output was handed over. Raises LabError at the
        deadline; if the connection went away, what the board died of."""
        return self._shell.wait_process(self, timeout)

    def kill(self) -> None:
        """SIGKILL to it and all it started in its process group; safe when it has ended."""
        self._shell.kill_process(self)

    @property
    def pid(self) -> int | None:
        return self._preambles[0].pid or self._preambles[1].pid

    @property
    def ended(self) -> bool:
        return self.status is not None or self.error is not None

    def give_up(self) -> None:
        """Forget about the command; the board may or may not go on with it."""
        self._given_up = True
        if self.channel is not None:
            self.channel.close()

    # -- its own thread ---------------------------------------------------------------------------------------

    def _main(self) -> None:
        status = error = None
        try:
            status = self._run()
        except Exception as raised:  # belongs to whoever waits for the process
            error = raised
        self.at_end()
        self._shell.change(self, status=status, error=error, done=True)

    def _run(self) -> int:
        channel = self._open()
        with suppress(OSError, EOFError, paramiko.SSHException):  # it has ended already
            if not self._with_stdin:
                channel.shutdown_write()
        over = False
        while not over:
            self._wake.wait()
            self._wake.rearm()
            over = bool(channel.eof_received or channel.closed)
            while channel.recv_ready():
                self._hand_over(0, channel.recv(_WINDOW))
            while channel.recv_stderr_ready():
                self._hand_over(1, channel.recv_stderr(_WINDOW))
        return self._final_status(channel)

    def _open(self) -> paramiko.Channel:
        """A channel that runs the command. A server that is still busy with ended ones refuses for a moment: OpenSSH
        to open one more channel, Dropbear by closing it before anything has run."""
        deadline = time.monotonic() + REFUSAL_TIME
        while True:
            try:
                channel = self._login.transport.open_session(_WINDOW, _PACKET, START_TIMEOUT)
                self.channel = channel
                if self._given_up:
                    channel.close()
                channel.in_buffer.set_event(self._wake)
                channel.in_stderr_buffer.set_event(self._wake)
                channel.exec_command(self._line)
            except (OSError, EOFError, paramiko.SSHException) as error:
                if self._given_up:
                    raise LabError(f"`{self.title}` on the board was given up") from error
                if not self._login.transport.is_active():
                    raise self._shell.gone() from error
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
        except Exception as error:  # the command is killed by who waits; its output is dropped until then
            self._shell.change(self, error=error)

    def _final_status(self, channel: paramiko.Channel) -> int:
        channel.status_event.wait()  # with the status, or when the channel or the transport has closed
        if channel.exit_status < 0 and not hasattr(channel, "closed_by_board"):
            if self._given_up:
                raise LabError(f"`{self.title}` on the board was given up")
            self._login.transport.join(START_TIMEOUT)  # it is about to know why
            raise self._shell.gone()
        channel.close()
        if self.pid is None:
            said = b"".join(bytes(preamble.noise) for preamble in self._preambles).decode("utf-8", "replace").strip()
            raise LabError(f"the board ran no `{self.title}`; its login shell said: {said[-500:] or 'nothing'}",
                           hint="the board's user needs a login shell with POSIX quoting, /bin/sh, /proc and `setsid`")
        if channel.exit_status >= 0:
            return channel.exit_status
        name = getattr(channel, "exit_signal", "?")
        try:
            return -Signals[f"SIG{name}"]
        except KeyError:
            raise LabError(f"`{self.title}` was killed on the board by a signal that SSH has no name for (such as "
                           "SIGBUS or SIGTRAP)", hint="start it by `iterate`, which reports every signal") from None


class SshShell:
    """Commands and files on a board over SSH (`SecureShell`). Made by `connect`. Thread-safe; callbacks may use it.

    `why_lost` says what the board died of when the connection has ended; without it, that is a LabError.
    """

    def __init__(
        self, login: Login, *, board: str, env: Mapping[str, str], login_again: Callable[[float], Login],
        why_lost: Callable[[], PanthorlabError] | None = None, keepalive: float = KEEPALIVE,
    ) -> None:
        self._login, self._board, self._env = login, board, dict(env)
        self._login_again, self._why_lost, self._keepalive = login_again, why_lost, keepalive
        self._changed = threading.Condition()
        self._running: set[SshProcess] = set()
        self._slots = threading.BoundedSemaphore(MOST_COMMANDS)
        self._killing = threading.Lock()
        self._reapers: list[threading.Thread] = []
        self._pings = self._pongs = 0
        self._closing = self._out_of_reach = False
        self._monitor = threading.Thread(target=self._keep_asking, name=f"ssh-{board}", daemon=True)
        self._monitor.start()
        self.boot_id = ""

    # -- Shell ------------------------------------------------------------------------------------------------

    def start(
        self, argv: Sequence[str], *, on_stdout: OnBytes, on_stderr: OnBytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> SshProcess:
        """Start argv (no shell), its stdin empty. Callbacks get raw chunks in order, all from one thread of this
        command; while they take their time, the command is held back once SSH's window is full."""
        streams = on_stdout, on_stderr or (lambda _data: None)
        return self._start(argv, env, streams, with_stdin=False, timeout=START_TIMEOUT)

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b"",
    ) -> Completed:
        """Run argv to its end; a non-zero status is no exception. At the deadline it is killed: LabError."""
        stdout, stderr = bytearray(), bytearray()
        deadline = time.monotonic() + timeout
        process = self._start(argv, env, (stdout.extend, stderr.extend), with_stdin=bool(stdin), timeout=timeout)
        try:
            if stdin:
                self._feed(process, stdin, deadline)
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except BaseException:
            process.kill()
            raise
        return Completed(tuple(argv), status, bytes(stdout), bytes(stderr))

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file on the board, whole or not at all; in place below /proc and /sys. Raises RemoteFileError."""
        remote_files.put(self, data, path, mode=mode, timeout=FILE_TIMEOUT + len(data) / remote_files.SLOWEST)

    def get(self, path: str) -> bytes:
        """Read a file of the board, also from /proc and /sys (a stream like /dev/kmsg: what it holds now)."""
        return remote_files.get(self, path, timeout=FILE_TIMEOUT)

    def put_files(self, files: Mapping[Path, str], *, timeout: float) -> tuple[str, ...]:
        """Bring files of the host onto the board, with their modes, proved by SHA-256; those that are right already
        stay. Gives the paths that were written. Raises RemoteFileError, LabError."""
        return remote_files.put_files(self, files, timeout=timeout)

    # -- SecureShell ------------------------------------------------------------------------------------------

    def ping(self, timeout: float) -> bool:
        """Whether the board's SSH server answers in time. Raises what the board died of if the connection is lost."""
        with self._changed:
            self._pings += 1
            wanted = self._pings
            self._changed.notify_all()
        return self._await(lambda: self._pongs >= wanted, timeout)

    def close(self) -> None:
        """Kill what still runs, as far as the board can be reached, and hang up. Idempotent."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
            running = list(self._running)
        for process in running:
            if self.lost is None:
                process.kill()
        self._login.close()
        for process in running:
            if process.thread is not threading.current_thread():
                process.thread.join(KILL_TIMEOUT)
        for thread in (*self._reapers, self._monitor):
            if thread is not threading.current_thread():
                thread.join(KILL_TIMEOUT)

    @property
    def lost(self) -> str | None:
        """Why the connection has ended, if it has."""
        transport = self._login.transport
        if transport.is_active():
            return None
        if self._closing:
            return "it was closed"
        error = transport.saved_exception
        return str(error) if error is not None and str(error) else "the board hung up"

    def gone(self) -> PanthorlabError:
        """The error for whoever needs a connection that is no more."""
        if self._why_lost is not None and not self._closing:
            return self._why_lost()
        return LabError(f"the SSH connection to board {self._board} is lost: {self.lost}")

    def open_sftp(self, timeout: float) -> paramiko.SFTPClient | None:
        """None if the board's SSH server has no SFTP (Dropbear needs a separate sftp-server)."""
        channel: paramiko.Channel | None = None
        try:
            channel = self._login.transport.open_session(_WINDOW, timeout=timeout)
            channel.settimeout(timeout)
            timer = threading.Timer(timeout, channel.close)
            timer.start()
            try:
                channel.invoke_subsystem("sftp")
                return paramiko.SFTPClient(channel)
            finally:
                timer.cancel()
        except (OSError, EOFError, paramiko.SSHException) as error:
            if channel is not None:
                channel.close()
            if self.lost is not None:
                raise self.gone() from error
            return None

    # -- for processes ----------------------------------------------------------------------------------------

    def change(
        self, process: SshProcess, *, status: int | None = None, error: BaseException | None = None,
        begun: bool = False, done: bool = False,
    ) -> None:
        """Something has happened to the process: wake up whoever waits for that. The first error stays."""
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
        self._await(lambda: process.ended, timeout)
        if process.error is not None:
            if not process.done:  # a callback has failed, and the command goes on
                process.kill()
            raise process.error
        if process.status is None:
            raise LabError(f"`{process.title}` on board {self._board} did not end within {timeout:g} s",
                           hint="a hung program or a stuck driver: see the console log and /dev/kmsg of the run")
        return process.status

    def kill_process(self, process: SshProcess) -> None:
        """As far as the board can be reached; else the command is given up."""
        with self._changed:
            self._changed.wait_for(lambda: process.begun or process.done, KILL_TIMEOUT)
        if process.done and (process.status is not None or process.pid is None):
            return
        if process.pid is None:
            process.give_up()
        elif self.lost is None:
            self._kill(self._login, process.pid)
        elif not self._closing:  # it may outlive its connection; nobody shall wait for a board that may be dead
            reaper = threading.Thread(target=self._kill_anew, args=(process.pid,), name="ssh-reaper", daemon=True)
            with self._changed:
                self._reapers.append(reaper)
            reaper.start()

    def _kill_anew(self, pid: int) -> None:
        """By a new connection. One attempt that fails is enough: then the board is out of reach."""
        with self._killing:
            if self._out_of_reach:
                return
            try:
                login = self._login_again(KILL_TIMEOUT)
            except (PanthorlabError, UnpinnedKeyError, OSError, EOFError, paramiko.SSHException):
                self._out_of_reach = True  # who waits for the command hears of the loss; nothing more can be done
                return
            try:
                self._kill(login, pid)
            finally:
                login.close()

    def _kill(self, login: Login, pid: int) -> None:
        argv = ["/bin/sh", "-c", ssh_command.KILL, "sh", self.boot_id, str(pid)]
        killer = SshProcess(self, login, argv, {}, (_ignore, _ignore), with_stdin=False)
        killer.thread.start()
        with self._changed:
            self._changed.wait_for(lambda: killer.done, KILL_TIMEOUT)
        killer.give_up()

    # -- its own ----------------------------------------------------------------------------------------------

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str] | None, streams: tuple[OnBytes, OnBytes], *,
        with_stdin: bool, timeout: float,
    ) -> SshProcess:
        deadline = time.monotonic() + min(timeout, START_TIMEOUT)
        process = SshProcess(self, self._login, argv, {**self._env, **(env or {})}, streams, with_stdin=with_stdin)
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LabError(f"{MOST_COMMANDS} commands run on board {self._board} already: no room for "
                           f"`{process.title}`")
        process.at_end = self._slots.release
        with self._changed:
            if self._closing or self.lost is not None:
                self._slots.release()
                raise self.gone()
            self._running.add(process)
        process.thread.start()
        try:
            self._await(lambda: process.begun or process.ended, max(0.0, deadline - time.monotonic()))
            if process.error is not None and not process.begun:
                raise process.error
            if not process.begun and not process.ended:
                raise LabError(f"board {self._board} did not begin `{process.title}` within {timeout:g} s")
        except BaseException:
            process.give_up()
            raise
        return process

    def _feed(self, process: SshProcess, data: bytes, deadline: float) -> None:
        """All of `data` and then end-of-file to the process, as fast as it reads; less if it ends before."""
        channel = process.channel
        assert channel is not None  # noqa: S101  it has begun
        sent = 0
        try:
            while sent < len(data):
                channel.settimeout(max(0.001, deadline - time.monotonic()))
                taken = channel.send(data[sent:sent + _CHUNK])
                if not taken:
                    return
                sent += taken
            channel.shutdown_write()
        except TimeoutError:
            raise LabError(f"`{process.title}` on board {self._board} read {sent} of {len(data)} bytes of its input "
                           "before the deadline") from None
        except (OSError, EOFError, paramiko.SSHException):
            pass  # it has ended, or the connection has: `wait` knows

    def _await(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until `done()`; False at the deadline. Raises what the board died of if the connection goes first."""
        with self._changed:
            self._changed.wait_for(lambda: done() or self.lost is not None, timeout)
            if done():
                return True
            if self.lost is None:
                return False
        raise self.gone()

    def _keep_asking(self) -> None:
        transport = self._login.transport
        while transport.is_active() and not self._closing:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._pings > self._pongs, self._keepalive)
                asked = self._pings
            self._login.wire.ask()
            with suppress(OSError, EOFError, paramiko.SSHException):  # then it is no longer active
                transport.global_request("keepalive@openssh.com", wait=True)
            if transport.is_active():
                with self._changed:
                    self._pongs = asked
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def connect(
    section: Ssh, *, board: str, lab_dir: Path, timeout: float,
    why_lost: Callable[[], PanthorlabError] | None = None, keepalive: float = KEEPALIVE, patience: float = PATIENCE,
) -> SshShell:
    """A shell on whatever runs on the board now. While the board boots, connections that are refused or break are tried
    again until the deadline; a wrong host key and a refused login are final.

    `lab_dir`: where `hostkeys.pin` has recorded the board's keys. Raises HostKeyError, LabError, UsageError.
    """
    deadline = time.monotonic() + timeout
    keys = hostkeys.pinned(lab_dir, board)

    def login(limit: float) -> Login:
        return Login(section, pinned=keys, timeout=limit, patience=patience)

    while True:
        try:
            shell = SshShell(
                login(max(1.0, deadline - time.monotonic())), board=board, env=_environment(section),
                login_again=login, why_lost=why_lost, keepalive=keepalive)
            if _probe(shell, board, max(1.0, deadline - time.monotonic())):
                return shell
            met = f"the connection broke right after the login: {shell.lost}"
        except UnpinnedKeyError as error:
            raise (hostkeys.changed_key(board, error.key, keys) if keys
                   else hostkeys.unknown_key(board, error.key)) from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            if (final := why_not(error, section)) is not None:
                raise final from error
            met = what_happened(error)
        if time.monotonic() + RETRY > deadline:
            raise LabError(f"board {board} could not be reached by SSH within {timeout:g} s; the last attempt at "
                           f"{section.host}:{section.port} met: {met}",
                           hint="see the console log whether the board has booted, has its address and runs sshd")
        time.sleep(RETRY)


def _environment(section: Ssh) -> dict[str, str]:
    return {"PATH": f"{section.work_dir}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "TERM": "dumb", "LANG": "C"}


_PROBE = 'read -r b </proc/sys/kernel/random/boot_id;echo "$b";printf %s "$1"'
_NASTY = "a'b\"c\\d\\'\n$e `f` \u00e9 *"


def _probe(shell: SshShell, board: str, timeout: float) -> bool:
    """Learn the boot-id, and whether words arrive as they are sent. False if the connection broke."""
    try:
        done = shell.run(["/bin/sh", "-c", _PROBE, "sh", _NASTY], timeout=timeout)
    except PanthorlabError:
        broke = shell.lost is not None
        shell.close()
        if broke:
            return False
        raise
    boot_id, _, word = done.stdout.decode("utf-8", "replace").partition("\n")
    if word != _NASTY or not boot_id:
        shell.close()
        raise LabError(f"the login shell of board {board} changes what it is told to run: {done.stdout[-200:]!r} "
                       f"{done.stderr[-200:]!r}", hint="give the user a POSIX shell on the board: chsh -s /bin/sh")
    shell.boot_id = boot_id
    return True


def _ignore(_data: bytes) -> None:
    pass
