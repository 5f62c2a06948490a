# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of QEMU's monitor protocol (QMP) that is needed to distinguish a hung guest from a hung QEMU."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any


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
            if not self._ready:
                self._receive("QMP", deadline)
                self._command("qmp_capabilities", deadline)
                self._ready = True
            answer = self._command("query-status", deadline)
            return str(answer["status"])
        except (OSError, ValueError, KeyError):  # TimeoutError is an OSError
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        self._sock.close()

    def _command(self, name: str, deadline: float) -> Any:
        self._sock.settimeout(max(0.001, deadline - time.monotonic()))
        self._sock.sendall(json.dumps({"execute": name}).encode() + b"\n")
        return self._receive("return", deadline)

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
