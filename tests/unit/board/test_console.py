# SPDX-License-Identifier: GPL-2.0-or-later
"""The console's reader: every byte kept, every line stamped, whatever the listeners do."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.console import MAX_LINE, Console, ConsoleLine, LineSplitter


@given(st.lists(st.sampled_from([b"a", b"bc\r", b"\n", b"\r\n", b"\xff\0", b"  "])), st.integers(1, 7))
def test_any_chunking_gives_the_same_lines(parts: list[bytes], step: int) -> None:
    data = b"".join(parts)
    splitter = LineSplitter()
    lines = [line for at in range(0, len(data), step) for line in splitter.feed(data[at:at + step], 0.0)]
    lines += splitter.flush()
    wanted = data.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert [line.text for line in lines] == [line.strip(b"\r") for line in wanted]


def test_stamp_is_of_the_first_byte() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"ab", 1.0) == []
    assert splitter.feed(b"c\nd", 2.0) == [ConsoleLine(1.0, b"abc")]
    assert splitter.flush() == [ConsoleLine(2.0, b"d")]


def test_a_stream_without_newline_does_not_grow_for_ever() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(5) for line in splitter.feed(b"x" * MAX_LINE, 0.0)]
    assert len(lines) >= 2


def test_console(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    console = Console(ours, tmp_path / "console.log")
    seen: list[bytes] = []

    def fail_once(line: ConsoleLine) -> None:
        if line.text == b"two":
            raise ZeroDivisionError
    console.listen(fail_once)
    console.listen(lambda line: seen.append(line.text))
    console.start()
    before = time.monotonic()
    theirs.sendall(b"one\r\ntwo\nthr")
    found = console.wait_for(lambda line: line.text == b"two", 5)
    assert found is not None
    assert before <= found.time <= time.monotonic()
    assert console.wait_for(lambda line: line.text == b"none", 0.01) is None
    theirs.sendall(b"ee\nend")
    theirs.close()
    assert console.join(5)
    assert seen == [b"one", b"two", b"three", b"end"]
    assert console.tail(2) == "three\nend"
    assert console.log.read_bytes() == b"one\r\ntwo\nthree\nend"
    assert isinstance(console.error, ZeroDivisionError)
    assert console.wait_for(lambda line: line.text == b"none", 60) is None
    ours.close()
