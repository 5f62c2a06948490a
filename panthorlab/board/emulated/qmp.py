# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of QEMU's monitor protocol (QMP) that is needed: is QEMU hung or the guest, and stopping it for gdb."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from panthorlab.errors import LabError

_GREETING_SECONDS: Final = 60.0


class Monitor:
    """One QMP connection. Calls may come from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._pending = b""
        self._ready = False

    def status(self, timeout: float) -> str | None:
        """QEMU's run state (`running`, `shutdown`, …); None if QEMU does not answer in time."""
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            return None
        try:
            self._greet(deadline)
            answer = self._command("query-status", deadline)
            return str(answer["status"])
        except (OSError, ValueError, KeyError):  # TimeoutError is an OSError
            return None
        finally:
            self._lock.release()

    def send(self, name: str) -> None:
        """Send a command; nobody else may until `receive` has got its answer. Raises LabError."""
        self._lock.acquire()
        with self._lost():
            self._greet(time.monotonic() + _GREETING_SECONDS)
            self._say(name)

    def receive(self, timeout: float) -> None:
        """The answer to what was sent. Raises LabError if it does not come in time, or is an error."""
        try:
            with self._lost():
                self._receive("return", time.monotonic() + timeout)
        finally:
            self._lock.release()

    def human(self, line: str, timeout: float) -> str:
        """A command of the monitor for people, and what it prints. Raises LabError."""
        with self._lock, self._lost():
            self._say("human-monitor-command", {"command-line": line})
            return str(self._receive("return", time.monotonic() + timeout)).strip()

    def close(self) -> None:
        self._sock.close()

    def _greet(self, deadline: float) -> None:
        if not self._ready:
            self._receive("QMP", deadline)
            self._command("qmp_capabilities", deadline)
            self._ready = True

    @contextmanager
    def _lost(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise LabError(f"QEMU's monitor: {error}") from error

    def _command(self, name: str, deadline: float) -> Any:
        self._sock.settimeout(max(0.001, deadline - time.monotonic()))
        self._say(name)
        return self._receive("return", deadline)

    def _say(self, name: str, arguments: Mapping[str, str] | None = None) -> None:
        message = {"execute": name, **({"arguments": arguments} if arguments else {})}
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, key: str, deadline: float) -> Any:
        """The next message that has `key`; events and errors before it are skipped."""
        while True:
            line, found, rest = self._pending.partition(b"\n")
            if found:
                self._pending = rest
                message = json.loads(line)
                if key in message:
                    return message[key]
                if "error" in message:
                    raise ValueError(str(message["error"]))
                continue
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._sock.recv(65536)
            if not data:
                raise ValueError("QEMU closed its monitor")
            self._pending += data
