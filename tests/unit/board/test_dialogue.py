# SPDX-License-Identifier: GPL-2.0-or-later
"""A dialogue finds what it waits for in any stream, and what is typed arrives whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from panthorlab.board.real.console import dialogue
from panthorlab.board.real.console.dialogue import PexpectDialogue
from panthorlab.errors import LabError

PROMPT = b"=> "


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "SLICE", 0.02)
    monkeypatch.setattr(dialogue, "QUIET", 0.005)


class Board:
    """U-Boot's command line: echoes, runs at Enter, drops the line at Ctrl-C. `lose`: which bytes it never gets."""

    def __init__(self, lose: Callable[[int], bool] = lambda _: False, torn: bytes = b"") -> None:
        self.lines: list[bytes] = []
        self._line = b""
        self._lose, self._torn = lose, torn
        self._count = 0
        self.dialogue = PexpectDialogue(self)

    def send(self, data: bytes) -> None:
        for byte in data:
            self._count += 1
            if not self._lose(self._count):
                self._take(bytes((byte,)))

    def _take(self, byte: bytes) -> None:
        if byte == b"\r":
            self.lines.append(self._line)
            prompt = PROMPT[:1] + self._torn + PROMPT[1:]
            self.dialogue.feed(b"\r\n" + (b"ran " + self._line + b"\r\n" if self._line else b"") + prompt)
            self._line = b""
        elif byte == b"\x03":
            self._line = b""
            self.dialogue.feed(b"<INTERRUPT>\r\n" + PROMPT)
        else:
            self._line += byte
            self.dialogue.feed(byte)

    def tail(self, count: int = 40) -> str:
        return "the tail"

    def complaint(self) -> str | None:
        return "a complaint"


def test_a_match_at_the_head_of_a_large_portion_is_found() -> None:
    board = Board()
    board.dialogue.feed(b"needle" + b"x" * 1_000_000)
    assert board.dialogue.expect(b"nothing", b"needle", timeout=60, what="it") == 1


def test_a_match_is_found_in_a_flood_wherever_it_is_cut() -> None:
    board = Board()
    choice = random.Random(2)  # noqa: S311 - not for secrets
    data = (b"some line of a console\r\n" * 50_000) + b"nee" + b"dle" + b"x" * 100
    at = 0
    while at < len(data):
        step = choice.randrange(1, 65536)
        board.dialogue.feed(data[at : at + step])
        at += step
    assert board.dialogue.expect(b"needle", timeout=60, what="it") == 0
    assert board.dialogue.expect(b"x{100}", timeout=60, what="the rest") == 0


def test_what_was_matched_is_not_matched_again() -> None:
    board = Board()
    board.dialogue.feed(b"one two one")
    for pattern in (b"one", b"two", b"one"):
        board.dialogue.expect(pattern, timeout=60, what="it")
    with pytest.raises(LabError, match=r"did not show it in 0\.01 s; a complaint. Last on the console:\nthe tail"):
        board.dialogue.expect(b"one", timeout=0.01, what="it")


def test_commands() -> None:
    board = Board()
    command = "setenv bootargs console=ttyS2,1500000n8 root=/dev/mmcblk1p2 rw rootwait"
    assert board.dialogue.command(command, prompt=PROMPT, timeout=60) == f"ran {command}\r\n".encode()
    assert board.dialogue.command("", prompt=PROMPT, timeout=60) == b""
    assert board.lines == [command.encode(), b""]


@pytest.mark.parametrize("which", range(1, 31))
def test_any_character_may_be_lost(which: int) -> None:
    board = Board(lose=lambda count: count == which)
    board.dialogue.command("booti 0x02080000 - 0x0a100000", prompt=PROMPT, timeout=60)
    assert board.lines == [b"booti 0x02080000 - 0x0a100000"]


def test_a_line_that_loses_for_ever_runs_nothing() -> None:
    board = Board(lose=lambda count: count % 10 == 0)
    with pytest.raises(LabError, match="did not echo `booti 0x02080000 - 0x0a100000` but `booti"):
        board.dialogue.command("booti 0x02080000 - 0x0a100000", prompt=PROMPT, timeout=60)
    assert board.lines == []


def test_a_torn_prompt_is_seen() -> None:
    board = Board(torn=b"[    1.234567] usb 1-1: new\r\n[    1.234568] more\r\n")
    assert board.dialogue.command("version", prompt=PROMPT, timeout=60) == b"ran version\r\n"


def test_a_lost_prompt_is_asked_for() -> None:
    board = Board()
    assert board.dialogue.expect(PROMPT, timeout=60, what="the prompt", nudge="\x03") == 0


def test_no_control_characters_in_a_command() -> None:
    with pytest.raises(LabError, match="not a line"):
        Board().dialogue.command("a\rb", prompt=PROMPT, timeout=1)


def test_the_end_of_the_console_ends_the_wait() -> None:
    board = Board()
    threading.Timer(0.05, board.dialogue.feed, [b""]).start()
    begin = time.monotonic()
    with pytest.raises(LabError, match="was closed while waiting for it"):
        board.dialogue.expect(b"x", timeout=60, what="it")
    assert time.monotonic() - begin < 60
