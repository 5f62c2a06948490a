# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial console of a board: one thread owns the stream, stamps lines with host time, and keeps every byte.

Both kinds of board use it unchanged: an emulated board reads a socket to its end, a real one a serial line that
reconnects after a loss (`real/console/console.py`).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

KEEP_LINES = 20_000
"""Minimum number of recent lines kept in memory: ten seconds of a 1.5 Mbaud line under full load."""
MAX_LINE = 64 * 1024
_CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[()][0-9A-Za-z]|[=>78cDEHMNOZ])")
_Value = TypeVar("_Value")


class ByteSource(Protocol):
    """Source of console bytes: a socket or an object with the same `recv`."""

    def recv(self, size: int, /) -> bytes:
        """Blocks for the next bytes; b"" at the end. OSError counts as the end, too."""


class ConsoleLine(NamedTuple):
    """One line without its end. `time`: host CLOCK_MONOTONIC in seconds when its first byte came."""

    time: float
    text: bytes


class LineSplitter:
    """Splits chunks of bytes, cut anywhere, into lines without line ends; long lines are cut. No I/O."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[ConsoleLine]:
        *whole, rest = data.split(b"\n")
        lines: list[ConsoleLine] = []
        if whole and self._open:
            lines += self._cut(self._since, bytes(self._open + whole.pop(0)))
            self._open.clear()
        if len(data) <= MAX_LINE:
            lines += [ConsoleLine(now, text.strip(b"\r")) for text in whole]
        else:
            lines += [line for text in whole for line in self._cut(now, text)]
        if rest:
            if not self._open:
                self._since = now
            self._open += rest
            if len(self._open) > MAX_LINE:
                *long, last = _pieces(bytes(self._open))
                lines += [ConsoleLine(self._since, piece.strip(b"\r")) for piece in long]
                self._open, self._since = bytearray(last), now
        return lines

    def rest(self) -> ConsoleLine | None:
        """The unfinished last line, if any: a prompt, or the last output of a board that hangs."""
        return ConsoleLine(self._since, bytes(self._open).strip(b"\r")) if self._open else None

    @staticmethod
    def _cut(since: float, text: bytes) -> list[ConsoleLine]:
        return [ConsoleLine(since, piece.strip(b"\r")) for piece in _pieces(text)]


def _pieces(text: bytes) -> list[bytes]:
    return [text[at : at + MAX_LINE] for at in range(0, len(text), MAX_LINE)] or [text]


class Console:
    """Reads `source` to its end in its own thread: raw bytes to `log`, lines to listeners, waiters and `tail()`."""

    def __init__(self, source: ByteSource, log: Path) -> None:
        self._source = source
        self.log = log
        self._out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._changed = threading.Condition()
        self._splitter = LineSplitter()
        self._lines: list[ConsoleLine] = []
        self._listeners: list[Callable[[ConsoleLine], object]] = []
        self._taps: list[Callable[[bytes], object]] = []
        self._last_byte = 0.0
        self._ended = False
        self.error: BaseException | None = None
        """Exception from a listener or the log file; reading continues regardless."""
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)

    def listen(self, listener: Callable[[ConsoleLine], object]) -> None:
        """`listener` gets every line from now on, in the reader's thread. Call before `start` to miss none.

        A listener with `anchors` (a sequence of bytes) gets only lines that contain one, which is ten times as fast.
        """
        with self._changed:
            self._listeners = [*self._listeners, listener]

    @contextmanager
    def tap(self, listener: Callable[[bytes], object], *, since: float | None = None) -> Iterator[None]:
        """`listener` gets all bytes as they arrive, b"" at the end; first those in memory since host time `since`."""
        with self._changed:
            if since is not None:
                kept = [line.text + b"\r\n" for line in self._lines if line.time >= since]
                if (rest := self._splitter.rest()) and rest.time >= since:
                    kept.append(rest.text)
                if kept:
                    listener(b"".join(kept))
            if self._ended:
                listener(b"")
            self._taps = [*self._taps, listener]
        try:
            yield
        finally:
            with self._changed:
                self._taps = [tap for tap in self._taps if tap is not listener]

    def start(self) -> None:
        self._thread.start()

    @property
    def last_byte(self) -> float:
        """Host time of the newest byte; 0 before the first."""
        return self._last_byte

    def tail(self, count: int = 40) -> str:
        """The last `count` lines, including an unfinished one, as text that is safe to display."""
        with self._changed:
            last = self._lines[-count:]
            if rest := self._splitter.rest():
                last = [*last, rest][-count:]
        return "\n".join(readable(line.text) for line in last)

    def recent(self, size: int) -> bytes:
        """About the last `size` bytes, not counting line ends."""
        with self._changed:
            rest = self._splitter.rest()
            found = rest.text[-size:] if rest else b""
            for line in reversed(self._lines):
                if len(found) >= size:
                    break
                found = line.text + b"\n" + found
        return found[-size:]

    def wait_for(
        self, wanted: Callable[[ConsoleLine], bool], timeout: float, *, since: float = 0.0
    ) -> ConsoleLine | None:
        """The first wanted line among those in memory and new ones; None at the deadline or the end of the stream.

        `wanted` is called once per line, for new lines in the reader's thread; its exceptions are raised here.
        """
        future: Future[ConsoleLine | None] = Future()

        def ask(line: ConsoleLine) -> None:
            if not future.done() and line.time >= since:
                try:
                    if wanted(line):
                        future.set_result(line)
                except BaseException as error:
                    future.set_exception(error)

        with self._changed:
            for line in self._lines:
                ask(line)
            if future.done() or self._ended:
                return future.result() if future.done() else None
            self.listen(ask)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or future.done(), timeout)
                return future.result() if future.done() else None
        finally:
            with self._changed:
                self._listeners = [listener for listener in self._listeners if listener is not ask]

    def join(self, timeout: float) -> bool:
        """Wait for the end of the stream; True if it was reached."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._ended

    def _run(self) -> None:
        try:
            while data := self._receive():
                self._last_byte = now = time.monotonic()
                self._attempt(self._write, data)
                with self._changed:
                    lines = self._keep(self._splitter.feed(data, now))
                    listeners, taps = self._listeners, self._taps  # as they are now: see _keep
                self._deliver(lines, listeners)
                for tap in taps:
                    self._attempt(tap, data)
                with self._changed:
                    self._changed.notify_all()
        except Exception as error:  # a bug of the source: ends the stream for all waiters
            self.error = self.error or error
        with self._changed:
            rest, self._splitter = self._splitter.rest(), LineSplitter()
            lines, listeners = self._keep([rest] if rest else []), self._listeners
        self._deliver(lines, listeners)
        with self._changed:
            self._ended = True
            taps = self._taps
            self._changed.notify_all()
        for tap in taps:
            self._attempt(tap, b"")
        os.close(self._out)

    def _receive(self) -> bytes:
        try:
            return self._source.recv(MAX_LINE)
        except OSError:
            return b""

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._out, left) :]

    def _keep(self, lines: list[ConsoleLine]) -> list[ConsoleLine]:
        """Store lines and take the list of listeners in one step, so that a waiter gets each line exactly once."""
        self._lines += lines
        if len(self._lines) > 2 * KEEP_LINES:
            del self._lines[:-KEEP_LINES]
        return lines

    def _deliver(self, lines: list[ConsoleLine], listeners: list[Callable[[ConsoleLine], object]]) -> None:
        """Pass the lines to each listener whose anchors may match."""
        block = b"\n".join([line.text for line in lines])
        for listener in listeners:
            anchors = getattr(listener, "anchors", ())
            if anchors and not any(anchor in block for anchor in anchors):
                continue
            for line in lines:
                if not anchors or any(anchor in line.text for anchor in anchors):
                    self._attempt(listener, line)

    def _attempt(self, action: Callable[[_Value], object], value: _Value) -> None:
        try:
            action(value)
        except Exception as error:  # the console must be read on in any case; check_alive() reports it
            self.error = self.error or error


def readable(text: bytes) -> str:
    """For display: terminal control sequences are dropped, other control and unprintable characters replaced."""
    plain = _CONTROL_SEQUENCE.sub("", text.decode("utf-8", "replace"))
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in plain)
