# SPDX-License-Identifier: GPL-2.0-or-later
"""The console's reader: every byte kept, every line stamped, whatever the listeners do."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.console import KEEP_LINES, MAX_LINE, Console, ConsoleLine, LineSplitter, readable

LONG = b"x" * (MAX_LINE // 2)


def lines_of(chunks: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk, 0.0)]
    rest = splitter.rest()
    return [line.text for line in [*lines, *([rest] if rest else [])]]


@contextmanager
def reading(log: Path) -> Iterator[tuple[Console, socket.socket]]:
    """A console that is not started yet, and the board's end of it."""
    ours, theirs = socket.socketpair()
    console = Console(ours, log)
    yield console, theirs
    theirs.close()
    assert console.join(60)
    ours.close()


@given(st.lists(st.sampled_from([b"a", b"bc\r", b"\n", b"\r\n", b"\xff\0", b"  "])), st.integers(1, 7))
def test_any_chunking_gives_the_same_lines(parts: list[bytes], step: int) -> None:
    data = b"".join(parts)
    wanted = data.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert lines_of([data[at : at + step] for at in range(0, len(data), step)]) == [
        line.strip(b"\r") for line in wanted
    ]


@given(
    st.lists(st.sampled_from([LONG, LONG[1:], b"y", b"\r", b"\n"]), max_size=12), st.lists(st.integers(0, 9 * MAX_LINE))
)
def test_long_lines_are_cut_at_the_same_places(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    ends = [0, *sorted(cuts), len(data)]
    lines = lines_of([data])
    assert lines_of([data[begin:end] for begin, end in itertools.pairwise(ends)]) == lines
    assert all(len(line) <= MAX_LINE for line in lines)
    assert b"".join(lines).replace(b"\r", b"") == data.replace(b"\n", b"").replace(b"\r", b"")


def test_stamp_is_of_the_first_byte() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"ab", 1.0) == []
    assert splitter.feed(b"c\nd", 2.0) == [ConsoleLine(1.0, b"abc")]
    assert splitter.rest() == ConsoleLine(2.0, b"d")


def test_console(tmp_path: Path) -> None:
    with reading(tmp_path / "console.log") as (console, board):
        seen: list[bytes] = []

        def fail_once(line: ConsoleLine) -> None:
            if line.text == b"two":
                raise ZeroDivisionError

        console.listen(fail_once)
        console.listen(lambda line: seen.append(line.text))
        console.start()
        before = time.monotonic()
        board.sendall(b"one\r\ntwo\nthr")
        found = console.wait_for(lambda line: line.text == b"two", 5)
        assert found is not None
        assert before <= found.time <= time.monotonic()
        assert console.wait_for(lambda line: line.text == b"none", 0.01) is None
        board.sendall(b"ee\nend")
    assert seen == [b"one", b"two", b"three", b"end"]
    assert console.tail(2) == "three\nend"
    assert console.recent(7) == b"ee\nend\n"
    assert console.log.read_bytes() == b"one\r\ntwo\nthree\nend"
    assert isinstance(console.error, ZeroDivisionError)
    assert console.wait_for(lambda line: line.text == b"none", 60) is None
    assert console.wait_for(lambda line: line.text == b"end", 60) is not None


def test_a_late_waiter_finds_what_came_before(tmp_path: Path) -> None:
    with reading(tmp_path / "log") as (console, board):
        console.start()
        board.sendall(b"first\n" + b"more\n" * (KEEP_LINES - 2) + b"last\n")
        assert console.wait_for(lambda line: line.text == b"last", 5)
        assert console.wait_for(lambda line: line.text == b"first", 0)
        assert console.wait_for(lambda line: line.text == b"first", 0, since=time.monotonic()) is None


def test_a_waiter_gets_each_line_of_a_flood(tmp_path: Path) -> None:
    with reading(tmp_path / "log") as (console, board):
        console.start()
        count = 5 * KEEP_LINES
        writer = threading.Thread(target=board.sendall, args=(b"".join(b"%d\n" % number for number in range(count)),))
        seen: list[int] = []

        def last(line: ConsoleLine) -> bool:
            seen.append(int(line.text))
            return seen[-1] == count - 1

        writer.start()
        assert console.wait_for(last, 30)
        writer.join()
        assert seen == list(range(count))


def test_what_the_question_raises_is_raised_to_who_asked(tmp_path: Path) -> None:
    def wrong(_line: ConsoleLine) -> bool:
        raise ZeroDivisionError

    with reading(tmp_path / "log") as (console, board):
        console.start()
        board.sendall(b"a\n")
        with pytest.raises(ZeroDivisionError):
            console.wait_for(wrong, 5)
        assert console.error is None


def test_a_tap_gets_what_was_kept_what_comes_and_the_end(tmp_path: Path) -> None:
    with reading(tmp_path / "log") as (console, board):
        console.start()
        board.sendall(b"one\r\n=> ")
        assert console.wait_for(lambda line: line.text == b"one", 5)
        got: list[bytes] = []
        with console.tap(got.append, since=0):
            board.sendall(b"\xfftwo\r\n")
            board.shutdown(socket.SHUT_WR)
            assert console.join(60)
        late: list[bytes] = []
        with console.tap(late.append):
            pass
    assert b"".join(got) == b"one\r\n=> \xfftwo\r\n"
    assert got[-1] == b""
    assert late == [b""]


def test_a_log_that_cannot_be_written_is_told_and_reading_goes_on(tmp_path: Path) -> None:
    with reading(Path("/dev/full")) as (console, board):
        console.start()
        board.sendall(b"a\n")
        assert console.wait_for(lambda line: line.text == b"a", 5)
    assert isinstance(console.error, OSError)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[1;32m[  OK  ]\x1b[0m done", "[  OK  ] done"),
        (b"a\x1b]0;title\x07b", "a\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}b"),
        (b"\xff\0\tx", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\tx"),
        ("µ ●".encode(), "µ ●"),
    ],
)
def test_no_control_character_reaches_a_terminal(raw: bytes, shown: str) -> None:
    assert readable(raw) == shown


def test_a_listener_with_anchors_gets_exactly_the_lines_that_have_one(tmp_path: Path) -> None:
    class Anchored:
        anchors = (b"panic", b"Oops")

        def __init__(self) -> None:
            self.lines: list[bytes] = []

        def __call__(self, line: ConsoleLine) -> None:
            self.lines.append(line.text)

    with reading(tmp_path / "log") as (console, board):
        listener = Anchored()
        console.listen(listener)
        console.start()
        for portion in (b"a\npan", b"ic 1\nb\n", b"Oo\nps\n", b"x Oops", b" y\npanic Oops\nz\npanic"):
            board.sendall(portion)
            time.sleep(0.01)  # so that the portions are not read as one
    assert listener.lines == [b"panic 1", b"x Oops y", b"panic Oops", b"panic"]
