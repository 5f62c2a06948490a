# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial console of a board: one thread owns the stream, stamps lines with host time, and keeps every byte."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

KEEP_LINES = 400
MAX_LINE = 64 * 1024
_Value = TypeVar("_Value")


class ByteSource(Protocol):
    """What a console is read from: a socket, or anything that looks like one."""

    def recv(self, size: int, /) -> bytes:
        """Blocks for the next bytes; b"" at the end. OSError counts as the end, too."""


@dataclass(frozen=True)
class ConsoleLine:
    """One line without its end. `time`: host CLOCK_MONOTONIC in seconds when its first byte came."""

    time: float
    text: bytes


class LineSplitter:
    """Bytes in any portions to lines; `\\r` and `\\n` are dropped at the ends. No I/O."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[ConsoleLine]:
        lines = []
        start = 0
        while start < len(data):
            if not self._open:
                self._since = now
            end = data.find(b"\n", start)
            stop = end if end >= 0 else len(data)
            self._open += data[start:stop]
            if end >= 0 or len(self._open) > MAX_LINE:
                lines.append(self._take())
            start = stop + 1
        return lines

    def flush(self) -> list[ConsoleLine]:
        """The unfinished last line, if there is one."""
        return [self._take()] if self._open else []

    def _take(self) -> ConsoleLine:
        line = ConsoleLine(self._since, bytes(self._open).strip(b"\r"))
        self._open.clear()
        return line


class Console:
    """Reads `source` to its end in its own thread: raw bytes to `log`, lines to listeners and to `tail()`."""

    def __init__(self, source: ByteSource, log: Path) -> None:
        self._source = source
        self.log = log
        self._out = log.open("ab", buffering=0)
        self._changed = threading.Condition()
        self._lines: deque[ConsoleLine] = deque(maxlen=KEEP_LINES)
        self._listeners: list[Callable[[ConsoleLine], None]] = []
        self._ended = False
        self.error: BaseException | None = None
        """What a listener or the log file raised; reading goes on regardless."""
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)

    def listen(self, listener: Callable[[ConsoleLine], None]) -> None:
        """`listener` gets every line from now on, in the reader's thread. Call before `start` to miss none."""
        self._listeners.append(listener)

    def start(self) -> None:
        self._thread.start()

    def tail(self, count: int = 40) -> str:
        """The last lines, as text, to show to a person."""
        with self._changed:
            last = list(self._lines)[-count:]
        return "\n".join(line.text.decode("utf-8", "replace") for line in last)

    def wait_for(self, wanted: Callable[[ConsoleLine], bool], timeout: float) -> ConsoleLine | None:
        """The first line, of those kept and those to come, that is wanted; None at the deadline or the end."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines:
                    if wanted(line):
                        return line
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._changed.wait(left)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the stream; True if it was reached."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._ended

    def _read(self) -> None:
        splitter = LineSplitter()
        while data := self._receive():
            now = time.monotonic()
            self._attempt(self._out.write, data)
            self._deliver(splitter.feed(data, now))
        self._deliver(splitter.flush())
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._out.close()

    def _receive(self) -> bytes:
        try:
            return self._source.recv(65536)
        except OSError:
            return b""

    def _deliver(self, lines: list[ConsoleLine]) -> None:
        if not lines:
            return
        with self._changed:
            self._lines.extend(lines)
            self._changed.notify_all()
        for line in lines:
            for listener in self._listeners:
                self._attempt(listener, line)

    def _attempt(self, action: Callable[[_Value], object], value: _Value) -> None:
        try:
            action(value)
        except Exception as error:  # whatever it is, the console must go on being read; check_alive() tells
            self.error = self.error or error
