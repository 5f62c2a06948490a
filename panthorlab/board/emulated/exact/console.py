# SPDX-License-Identifier: GPL-2.0-or-later
"""The console in exact time: what is on it is looked at when the guest is held, never meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_ANSWER_SECONDS = 60.0


class ConsoleAtBeats:
    """A `ByteSource` over the file into which QEMU writes the console while the CPU waits for it.

    `settle` hands its reader what has come up to a beat, and returns once the reader asks for more: so all that depends
    on the console (a panic, the last words of a kernel) is known at the same instruction in each run.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._changed = threading.Condition()
        self._waiting = b""
        self._wanted = self._ended = False

    def recv(self, size: int, /) -> bytes:
        """See `ByteSource`."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._ended)
            data, self._waiting = self._waiting[:size], self._waiting[size:]
            self._wanted = False
            return data

    def settle(self) -> None:
        """Until the reader has understood all that is in the file."""
        with self._changed:
            if self._ended or not (data := self._read()):
                return
            self._waiting += data
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended or (self._wanted and not self._waiting), _ANSWER_SECONDS)

    def end(self) -> None:
        """QEMU is gone: the reader gets the rest, then the end."""
        with self._changed:
            if not self._ended:
                self._waiting += self._read()
                os.close(self._fd)
                self._ended = True
            self._changed.notify_all()

    def _read(self) -> bytes:
        data = b""
        while piece := os.read(self._fd, 1 << 16):
            data += piece
        return data
