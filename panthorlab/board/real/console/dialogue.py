# SPDX-License-Identifier: GPL-2.0-or-later
"""A conversation over a console: pexpect on the bytes from the console's reader thread."""

from __future__ import annotations

import queue
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from panthorlab.board.console import readable
from panthorlab.errors import LabError

if TYPE_CHECKING:
    _Spawn = SpawnBase[bytes]
else:
    _Spawn = SpawnBase

SLICE = 1.0
"""Seconds of quiet after which a prompt may be lost or corrupted."""
QUIET = 0.05
"""Seconds without a byte after which a board is assumed to wait for a command."""
TYPED = 16
"""Bytes typed ahead of their echo: the size of the smallest UART FIFO, as the board may not be reading."""
TRIES = 3
_WINDOW = 8192
"""Bytes that pexpect searches again with each chunk; without a limit the search is quadratic."""
_PORTION = 2048
"""Maximum chunk: pexpect skips the part of a chunk beyond the window, so chunks must be smaller."""
_ALL = re.compile(rb"(?s).*")
_KERNEL_LINE = re.compile(rb"\[ {0,4}\d{1,9}\.\d{6}\] ?[^\r\n]{0,2000}(?:\r*\n|\Z)")
_INVISIBLE = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[=>78])| \r(?!\n)|[\x00-\x1f\x7f]")
"""Extra bytes in an echo; shells wrap a long line by a space and a carriage return."""
_ERASE_LINE = "\x03"  # Ctrl-C: U-Boot and shells drop the line and print the prompt again


class DialogueConsole(Protocol):
    """What a dialogue needs of a console."""

    def send(self, data: bytes) -> None: ...

    def tail(self, count: int = 40) -> str: ...

    def complaint(self) -> str | None: ...


class _Heard(_Spawn):
    """Bytes received and not yet consumed, for pexpect."""

    def __init__(self) -> None:
        super().__init__(maxread=_PORTION, searchwindowsize=_WINDOW)
        self.delayafterread = None  # it would sleep after every portion
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        self.last = time.monotonic()
        """When bytes last arrived."""

    def add(self, data: bytes) -> None:
        self.last = time.monotonic()
        self._chunks.put(data)

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """See SpawnBase."""
        if not self._rest:
            try:
                self._rest = self._chunks.get(timeout=max(0.0, timeout or 0.0))
            except queue.Empty:
                raise TIMEOUT("quiet") from None
            if not self._rest:
                self.add(b"")  # it stays at its end
                self.flag_eof = True
                raise EOF("closed")
        elif timeout is not None and timeout < 0:
            raise TIMEOUT("late")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def drain(self) -> None:
        """Discard the bytes that did not match."""
        self.expect_list([_ALL], timeout=0)


class PexpectDialogue:
    """See `Dialogue`."""

    def __init__(self, wire: DialogueConsole) -> None:
        self._wire = wire
        self._heard = _Heard()
        self.feed = self._heard.add
        """Called with the reader's bytes; b"" at the end."""

    def send(self, text: str) -> None:
        self._wire.send(text.encode())

    def expect(self, *patterns: bytes, timeout: float, what: str, nudge: str = "") -> int:
        return self._expect(patterns, time.monotonic() + timeout, f"{what} in {timeout:g} s", nudge)[0]

    def command(self, text: str, *, prompt: bytes, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        if not text.isascii() or not text.isprintable():
            raise LabError(f"not a line that can be typed on a console: {text!r}")
        self._type(text, deadline)
        self.send("\r")
        self._expect((rb"\n",), deadline, f"the echo of Enter after `{text}` in {timeout:g} s", nudge="\r")
        return self._expect((prompt,), deadline, f"the end of `{text}` in {timeout:g} s", "")[1]

    def _expect(self, patterns: tuple[bytes, ...], deadline: float, what: str, nudge: str) -> tuple[int, bytes]:
        """The index of the pattern, and what came before it."""
        compiled = [re.compile(pattern, re.DOTALL) for pattern in patterns]
        while (left := deadline - time.monotonic()) > 0:
            try:
                index = self._heard.expect_list([*compiled], timeout=min(SLICE, left))
                return index, self._heard.before or b""
            except TIMEOUT:
                if torn := self._see_through(compiled):
                    return torn
            except EOF:
                raise self._failed(f"the console was closed while waiting for {what}") from None
            if nudge and time.monotonic() - self._heard.last >= SLICE:
                self.send(nudge)
        raise self._failed(f"the console did not show {what}")

    def _see_through(self, patterns: list[re.Pattern[bytes]]) -> tuple[int, bytes] | None:
        """Search again without kernel messages that interrupt the awaited text."""
        plain = _KERNEL_LINE.sub(b"", (self._heard.before or b"")[-2 * _WINDOW :])
        for index, pattern in enumerate(patterns):
            if found := pattern.search(plain):
                self._heard.drain()
                return index, plain[: found.start()]
        return None

    def _type(self, text: str, deadline: float) -> None:
        """Type a line as fast as its echo comes, and retype it if the echo differs, so that no character is lost."""
        echo = bytearray()
        for _ in range(TRIES):
            self._settle()
            echo.clear()
            if all(
                self._echoed(text[: at + TYPED], text[at : at + TYPED], echo, deadline)
                for at in range(0, len(text), TYPED)
            ):
                return
            self.send(_ERASE_LINE)
        raise self._failed(
            f"the console did not echo `{text}` but `{readable(bytes(echo))}`, {TRIES} times: "
            "characters get lost, or nobody listens"
        )

    def _settle(self) -> None:
        """Discard output until the console is quiet or time is up: a surplus prompt must not end the next command."""
        self._heard.drain()
        latest = time.monotonic() + 4 * QUIET
        with suppress(TIMEOUT):
            while time.monotonic() < latest:
                self._read(QUIET)

    def _echoed(self, so_far: str, more: str, echo: bytearray, deadline: float) -> bool:
        """Send `more` and wait for the echo of all that was typed `so_far`; False if it does not come.

        If other output is mixed in, it is enough that the typed characters come in order.
        """
        self.send(more)
        wanted = _visible(so_far.encode())
        latest = min(deadline, time.monotonic() + SLICE)
        while not (wanted in _visible(echo) or wanted in _visible(_KERNEL_LINE.sub(b"", echo))):
            try:
                echo += self._read(latest - time.monotonic())
            except TIMEOUT:
                left = iter(echo)
                return self._heard.last > latest - QUIET and all(char in left for char in wanted)
        return True

    def _read(self, timeout: float) -> bytes:
        try:
            return self._heard.read_nonblocking(_PORTION, timeout)
        except EOF:
            raise self._failed("the console was closed while typing") from None

    def _failed(self, message: str) -> LabError:
        why = self._wire.complaint()
        return LabError(f"{message}{f'; {why}' if why else ''}. Last on the console:\n{self._wire.tail(15)}")


def _visible(data: bytes | bytearray) -> bytes:
    return _INVISIBLE.sub(b"", data)
