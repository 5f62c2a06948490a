# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a real board: the common reader on a line that reconnects after a loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from panthorlab.board.console import Console, ConsoleLine
from panthorlab.board.real.console.dialogue import PexpectDialogue
from panthorlab.board.real.console.links import describe, open_link
from panthorlab.board.real.file import ConsoleSection, TcpConsole, TtyConsole
from panthorlab.board.real.parts import Dialogue, Link
from panthorlab.errors import LabError

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to reconnect a lost line; each pause is twice the previous one."""
STEADY = 5.0
"""Seconds after which a connection counts as stable, and pauses start again at the first."""
_PRINTABLE = bytes([*range(0x20, 0x7F), *b"\t\r\n\x1b\b"])
_SAMPLE = 4096


class ReconnectingLink:
    """A `ByteSource` that ends only when it is closed. It inserts a line about each outage in place of lost output."""

    def __init__(self, reopen: Callable[[], Link], name: str) -> None:
        self._reopen = reopen
        self.name = name
        self._link: Link | None = reopen()
        self._since = time.monotonic()
        self._pause = FIRST_PAUSE
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._outages: list[tuple[float, float]] = []
        self._down: float | None = None
        self.reason = ""
        """Why there is no connection now, or was none at the end of the last outage."""
        self.last_byte = 0.0

    def recv(self, size: int, /) -> bytes:
        while not self._closing.is_set():
            link = self._link
            if link is None:
                if note := self._try():
                    return note
                continue
            try:
                if data := link.recv(size):
                    self.last_byte = time.monotonic()
                    return data
                reason = "the other side hung up"
            except OSError as error:
                reason = error.strerror or str(error)
            if not self._closing.is_set():
                return self._lost(reason)
        return b""

    @property
    def current(self) -> Link | None:
        return self._link

    @property
    def link(self) -> Link:
        """The present connection. Raises LabError if there is none."""
        link = self._link
        if link is None:
            raise LabError(
                f"console {self.name}: no connection since {time.monotonic() - (self._down or 0):.0f} s: {self.reason}"
            )
        return link

    @property
    def outages(self) -> list[tuple[float, float]]:
        with self._lock:
            now = [] if self._down is None else [(self._down, time.monotonic())]
            return [*self._outages, *now]

    @property
    def is_down(self) -> bool:
        return self._down is not None

    def close(self) -> None:
        with self._lock:
            self._closing.set()
            link, self._link = self._link, None
        if link:
            link.close()

    def _lost(self, reason: str) -> bytes:
        with self._lock:
            self._down, self.reason = time.monotonic(), reason
            link, self._link = self._link, None
        if link:
            link.close()
        if self._down - self._since > STEADY:
            self._pause = FIRST_PAUSE
        return _note(f"console lost: {reason}")

    def _try(self) -> bytes:
        """One pause and one attempt; returns the line about the end of the outage if it succeeded."""
        if self._closing.wait(self._pause):
            return b""
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        try:
            link = self._reopen()
        except (LabError, OSError) as error:
            self.reason = str(error)
            return b""
        with self._lock:
            if self._closing.is_set():
                link.close()
                return b""
            began, self._since = self._down or 0.0, time.monotonic()
            self._outages.append((began, self._since))
            self._link, self._down = link, None
        return _note(f"console back after {self._since - began:.1f} s; what came in between is lost")


class RealConsole(Console):
    """See `SerialConsole`."""

    def __init__(self, line: ReconnectingLink, section: ConsoleSection, log: Path) -> None:
        super().__init__(line, log)
        self._line, self._section = line, section
        self._opened = time.monotonic()
        self._talking = threading.Lock()

    @property
    def last_byte(self) -> float:
        """Host time of the newest byte of the board; 0 before the first."""
        return self._line.last_byte

    @property
    def outages(self) -> Sequence[tuple[float, float]]:
        return self._line.outages

    def complaint(self) -> str | None:
        """See `SerialConsole`. Garbage: most of the last bytes are no text."""
        if self._line.is_down:
            return f"the console {self._line.name} has no connection: {self._line.reason}"
        if not self.last_byte:
            silent = time.monotonic() - self._opened
            return f"no byte came from the console {self._line.name} in {silent:.0f} s; is the board on, and TX wired?"
        sample = self.recent(_SAMPLE)
        if len(sample) >= 16 and 2 * len(sample.translate(None, _PRINTABLE)) > len(sample):
            return f"most of what the console {self._line.name} gives is not text: is the speed right?{self._speed()}"
        return None

    def send(self, data: bytes) -> None:
        """Raises LabError; a line that turns out to be lost reconnects by itself."""
        try:
            self._line.link.send(data)
        except OSError as error:
            raise LabError(f"console {self._line.name}: could not send: {error.strerror or error}") from error

    @contextmanager
    def dialogue(self, *, since: float | None = None) -> Iterator[Dialogue]:
        """See `SerialConsole`. Raises LabError if another one is under way."""
        if not self._talking.acquire(blocking=False):
            raise LabError(f"console {self._line.name}: a dialogue is already under way")
        try:
            dialogue = PexpectDialogue(self)
            with self.tap(dialogue.feed, since=since):
                yield dialogue
        finally:
            self._talking.release()

    @property
    def can_break(self) -> bool:
        link = self._line.current
        return link is not None and link.can_break

    def sysrq(self, key: str) -> None:
        """See `SerialConsole`. `key`: one character, e.g. `t`, `w`, `l`, `b`."""
        link = self._line.link
        if not link.can_break:
            raise LabError(
                f"console {self._line.name}: this transport cannot send a BREAK, so no sysrq over it",
                hint="a serial device of this machine (`transport: tty`) and telnet can (`transport: "
                "telnet`; ser2net: `accepter: telnet(rfc2217),…`); raw TCP and pseudo terminals "
                "cannot. Or use `recovery: {sysrq: ssh}`",
            )
        try:
            link.send_break()
        except OSError as error:
            raise LabError(f"console {self._line.name}: could not send a BREAK: {error.strerror or error}") from error
        self.send(key.encode("ascii"))

    def close(self) -> None:
        """Idempotent."""
        self._line.close()
        self.join(10.0)

    def _speed(self) -> str:
        match self._section:
            case TtyConsole(speed=speed):
                return f" It is set to {speed} baud"
            case TcpConsole():
                return " The server sets it"
            case section:
                return f" It is set to {section.speed} baud" if section.rfc2217 else " The server sets it"


def open_console(
    section: ConsoleSection,
    log: Path,
    *,
    listeners: Sequence[Callable[[ConsoleLine], object]] = (),
    timeout: float = 10.0,
) -> RealConsole:
    """Open it and begin to read: before the board gets power. `listeners` get every line. Raises LabError."""
    line = ReconnectingLink(lambda: open_link(section, timeout), describe(section))
    try:
        console = RealConsole(line, section, log)
    except BaseException:
        line.close()
        raise
    for listener in listeners:
        console.listen(listener)
    console.start()
    return console


def _note(text: str) -> bytes:
    """`text` as a separate line, for the log and all listeners."""
    return f"\r\n[-- panthorlab: {text} --]\r\n".encode()
