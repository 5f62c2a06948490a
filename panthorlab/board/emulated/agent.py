# SPDX-License-Identifier: GPL-2.0-or-later
"""The host side of the agent on an emulated board: a `Shell` over one stream socket.

One reader thread owns the receiving side and calls all callbacks. It never sends and waits for nothing but bytes, so
the guest can always write its output; this keeps the protocol free of deadlock.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from signal import SIGKILL

from panthorlab.board.api import Completed, OnBytes, RemoteFileError, collect
from panthorlab.board.boardtime import HOST, BoardTime
from panthorlab.board.emulated import frames
from panthorlab.board.emulated.frames import Frame, FrameType
from panthorlab.board.onboard import WORK_DIR
from panthorlab.errors import LabError, PanthorlabError

DEFAULT_ENV = {
    "PATH": f"{WORK_DIR}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": "/root",
    "TERM": "dumb",
    "LANG": "C",
}
SEND_TIMEOUT = 30.0
FILE_TIMEOUT = 60.0
_STDIN_CHUNK = 16384


class AgentProcess:
    """A process on the board (`RemoteProcess`). Its fields are guarded by the shell's condition."""

    def __init__(self, shell: AgentShell, number: int, title: str, on_stdout: OnBytes, on_stderr: OnBytes) -> None:
        self.number, self.title = number, title
        self.on_stdout, self.on_stderr = on_stdout, on_stderr
        self.status: int | None = None
        self.error: BaseException | None = None
        self.credit = frames.WINDOW
        self._shell = shell

    @property
    def ended(self) -> bool:
        return self.status is not None or self.error is not None

    def wait(self, timeout: float) -> int:
        """Exit status (or -signal). Raises LabError at the deadline; if the board died, its diagnosis."""
        return self._shell.wait_process(self, timeout)

    def kill(self) -> None:
        """SIGKILL to the process and all others in its session; safe when it has ended."""
        self._shell.kill_process(self)


class AgentShell:
    """Commands and files through the agent. `why_lost` gives the board's diagnosis when the stream has ended."""

    def __init__(
        self, sock: socket.socket, why_lost: Callable[[], PanthorlabError], board_time: BoardTime = HOST
    ) -> None:
        self._sock, self._time = sock, board_time
        self._sock.setblocking(False)
        self._why_lost = why_lost
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._processes: dict[int, AgentProcess] = {}
        self._hello: frames.Hello | None = None
        self._pongs: set[int] = set()
        self._lost: str | None = None
        self._closing = False
        self._loader_errors = bytearray()
        self.loader = AgentProcess(self, 0, "module loader", lambda _data: None, self._loader_errors.extend)
        self._processes[0] = self.loader
        self._decoder = frames.FrameDecoder()
        self._thread: threading.Thread | None = None
        self._listen()

    def _listen(self) -> None:
        """Start receiving."""
        self._thread = threading.Thread(target=self._read, name="agent", daemon=True)
        self._thread.start()

    # -- Shell ------------------------------------------------------------------------------------------------

    def start(
        self,
        argv: Sequence[str],
        *,
        on_stdout: OnBytes,
        on_stderr: OnBytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AgentProcess:
        """Start argv (no shell), with empty stdin. Callbacks get raw chunks in order, in the reader thread: they must
        be quick, because they delay all output of the board, and must not use the shell except for `kill`."""
        return self._exec(argv, env, on_stdout, on_stderr or (lambda _data: None), with_stdin=False)

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Completed:
        """Run argv to its end; a non-zero status is no exception. At the deadline it is killed: LabError."""
        return collect(
            argv,
            timeout,
            lambda out, err: self._exec(argv, env, out, err, with_stdin=bool(stdin)),
            (lambda process, deadline: self._feed(process, stdin, deadline)) if stdin else None,
            self._time,
        )

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file on the board, whole or not at all. Raises RemoteFileError if the board refuses."""
        deadline = self._time.now() + FILE_TIMEOUT
        number = next(self._numbers)
        process = self._begin(frames.put_frame(number, path, mode=mode, size=len(data)), f"put {path}")
        try:
            self._feed(process, data, deadline)
            errno = process.wait(max(0.0, deadline - self._time.now()))
        except BaseException:
            process.kill()
            raise
        if errno:
            raise _file_error("write", path, errno)

    def get(self, path: str) -> bytes:
        """Read a file of the board, also from /proc and /sys (a stream like /dev/kmsg: what it holds now)."""
        content = bytearray()
        process = self._begin(frames.get_frame(next(self._numbers), path), f"get {path}", content.extend)
        try:
            errno = process.wait(FILE_TIMEOUT)
        except BaseException:
            process.kill()
            raise
        if errno:
            raise _file_error("read", path, errno)
        return bytes(content)

    # -- the board's own use ----------------------------------------------------------------------------------

    def wait_hello(self, timeout: float) -> frames.Hello | None:
        """The agent's first message; None at the deadline. Raises the diagnosis if the board died."""
        self._await(lambda: self._hello is not None, timeout)
        return self._hello

    def wait_loader(self, timeout: float) -> tuple[int, str]:
        """Status of the module loader and its error output."""
        return self.wait_process(self.loader, timeout), self._loader_errors.decode("utf-8", "replace")

    def ping(self, timeout: float) -> bool:
        """Whether the agent answers in time. Raises the diagnosis if the board died."""
        number = next(self._numbers)
        if not self._send(Frame(number, FrameType.PING), timeout):
            return False
        answered = self._await(lambda: number in self._pongs, timeout)
        with self._changed:
            self._pongs.discard(number)
        return answered

    def close(self) -> None:
        """Shut the stream down and end the reader; remaining waiters get the board's diagnosis."""
        self._closing = True
        with contextlib.suppress(OSError):  # the other end is gone already
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(SEND_TIMEOUT)
        self._sock.close()

    def wait_process(self, process: AgentProcess, timeout: float) -> int:
        ended = self._await(lambda: process.ended, timeout)
        if process.error is not None:
            process.kill()
            raise process.error
        if not ended or process.status is None:
            raise LabError(
                f"`{process.title}` on the board did not end within {timeout:g} s",
                hint="a hung program or a stuck driver: see the console log and /dev/kmsg of the run",
            )
        return process.status

    def kill_process(self, process: AgentProcess) -> None:
        with self._changed:
            if process.status is not None or self._lost is not None:
                return
        self._send(frames.kill_frame(process.number, SIGKILL), SEND_TIMEOUT)

    # -- sending ----------------------------------------------------------------------------------------------

    def _exec(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        on_stdout: OnBytes,
        on_stderr: OnBytes,
        *,
        with_stdin: bool,
    ) -> AgentProcess:
        frame = frames.exec_frame(next(self._numbers), argv, {**DEFAULT_ENV, **(env or {})}, with_stdin=with_stdin)
        return self._begin(frame, " ".join(argv)[:200], on_stdout, on_stderr)

    def _begin(
        self, frame: Frame, title: str, on_stdout: OnBytes = lambda _data: None, on_stderr: OnBytes = lambda _data: None
    ) -> AgentProcess:
        process = AgentProcess(self, frame.id, title, on_stdout, on_stderr)
        with self._changed:
            self._processes[frame.id] = process
        if not self._send(frame, SEND_TIMEOUT):
            raise LabError(f"the board took no command within {SEND_TIMEOUT:g} s: `{title}`")
        return process

    def _feed(self, process: AgentProcess, data: bytes, deadline: float) -> None:
        """Send `data` and then end-of-file to the process, as fast as it reads; stops early if the process ends."""
        view = memoryview(data)
        offset = 0
        while offset < len(view):
            ready = self._await(
                lambda: process.credit > 0 or process.status is not None, max(0.0, deadline - self._time.now())
            )
            with self._changed:
                if process.status is not None:
                    return
                size = min(process.credit, _STDIN_CHUNK, len(view) - offset)
                process.credit -= size
            chunk = Frame(process.number, FrameType.STDIN, bytes(view[offset : offset + size]))
            if not ready or not self._send(chunk, max(0.0, deadline - self._time.now())):
                raise LabError(
                    f"`{process.title}` on the board read {offset} of {len(view)} bytes of its input "
                    "before the deadline"
                )
            offset += size
        self._send(Frame(process.number, FrameType.STDIN), SEND_TIMEOUT)

    def _send(self, frame: Frame, timeout: float) -> bool:
        """False if the guest did not take the frame in time; a frame sent in part ends the stream."""
        data = memoryview(frames.encode(frame))
        deadline = time.monotonic() + timeout
        if not self._sending.acquire(timeout=timeout):
            return False
        try:
            sent = 0
            while sent < len(data):
                try:
                    sent += self._sock.send(data[sent:])
                    continue
                except BlockingIOError:
                    poller = select.poll()
                    poller.register(self._sock, select.POLLOUT)
                except OSError as error:
                    self._fail(f"sending failed: {error}")
                    raise self._why_lost() from error
                if not poller.poll(max(0, int((deadline - time.monotonic()) * 1000))) and time.monotonic() >= deadline:
                    if sent:
                        self._fail("a frame was sent only in part")
                    return False
        finally:
            self._sending.release()
        return True

    # -- receiving --------------------------------------------------------------------------------------------

    def _await(self, done: Callable[[], bool], timeout: float) -> bool:
        """Wait until `done()`; False at the deadline. Raises the diagnosis if the board dies."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback of the shell may not wait for the shell")
        self._time.wait(self._changed, lambda: done() or self._lost is not None, timeout)
        with self._changed:
            if done():
                return True
            if self._lost is None:
                return False
        raise self._why_lost()

    def _fail(self, reason: str) -> None:
        with self._changed:
            self._lost = self._lost or reason
            self._changed.notify_all()

    @property
    def lost(self) -> str | None:
        """Why the stream has ended, if it has."""
        return self._lost

    def _read(self) -> None:
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        reason = "the agent's stream ended"
        try:
            while not self._closing:
                poller.poll()
                try:
                    data = self._sock.recv(262144)
                except BlockingIOError:
                    continue
                if not data:
                    break
                self._take(data)
        except OSError as error:
            reason = f"the agent's stream broke: {error}"
        except frames.FrameError as error:
            reason = f"the agent broke the protocol: {error}"
        self._fail(reason)

    def _take(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self._dispatch(frame)

    def _dispatch(self, frame: Frame) -> None:
        process = self._processes.get(frame.id)
        if frame.type in (FrameType.STDOUT, FrameType.STDERR):
            if process and process.error is None:
                try:
                    (process.on_stdout if frame.type is FrameType.STDOUT else process.on_stderr)(frame.data)
                except Exception as error:  # for the waiter of the process, not for the reader
                    with self._changed:
                        process.error = error
                        self._changed.notify_all()
        elif frame.type is FrameType.EXIT:
            status = frames.parse_exit(frame.data)
            if process:
                with self._changed:
                    del self._processes[frame.id]
                    process.status = status
                    self._changed.notify_all()
        elif frame.type is FrameType.CREDIT:
            credit = frames.parse_credit(frame.data)
            if process:
                with self._changed:
                    process.credit += credit
                    self._changed.notify_all()
        elif frame.type is FrameType.PONG:
            with self._changed:
                self._pongs.add(frame.id)
                self._changed.notify_all()
        elif frame.type is FrameType.HELLO:
            hello = frames.parse_hello(frame.data)
            with self._changed:
                self._hello = hello
                self._changed.notify_all()
        else:
            raise frames.FrameError(f"{frame.type.name}: {frame.data[:200].decode('utf-8', 'replace')}")


def _file_error(verb: str, path: str, errno: int) -> RemoteFileError:
    what = os.strerror(errno) if errno > 0 else f"the helper died of signal {-errno}"
    return RemoteFileError(f"cannot {verb} {path} on the board: {what}", errno=errno)
