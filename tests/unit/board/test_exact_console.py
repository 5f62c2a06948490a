# SPDX-License-Identifier: GPL-2.0-or-later
"""The console in exact time: nothing of it is known before a beat, all of it after one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from panthorlab.board.console import MAX_LINE, Console, ConsoleLine
from panthorlab.board.emulated.exact.console import ConsoleAtBeats


class Machine:
    """QEMU's end: the file; ours: the source and its reader."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "console.raw"
        self.source = ConsoleAtBeats(self.file)
        self.log = folder / "console.log"
        self.console = Console(self.source, self.log)
        self.lines: list[bytes] = []
        self.console.listen(lambda line: self.lines.append(line.text))

    def say(self, data: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(data)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.source.end()
    assert made.console.join(10)


def test_it_is_looked_at_when_the_guest_is_held(machine: Machine) -> None:
    machine.console.start()
    machine.say(b"one\ntw")
    assert machine.console.wait_for(lambda _line: True, 0.05) is None
    machine.source.settle()
    assert machine.lines == [b"one"]
    assert machine.log.read_bytes() == b"one\ntw"
    machine.say(b"o\n")
    assert machine.lines == [b"one"]
    machine.source.settle()
    assert machine.lines == [b"one", b"two"]
    machine.source.settle()
    assert machine.lines == [b"one", b"two"]


def test_more_than_a_reader_takes_at_once_is_understood_before_anybody_looks(machine: Machine) -> None:
    machine.console.start()
    text = b"x" * 99 + b"\n"
    machine.say(text * (5 * MAX_LINE // len(text)))
    machine.source.settle()
    assert machine.log.stat().st_size == machine.file.stat().st_size
    assert len(machine.lines) == 5 * MAX_LINE // len(text)


def test_what_was_said_after_the_last_beat_comes_at_the_end(machine: Machine) -> None:
    machine.console.start()
    machine.say(b"Kernel panic - not syncing\n")
    machine.source.end()
    assert machine.console.join(10)
    assert machine.lines == [b"Kernel panic - not syncing"]
    machine.source.settle()  # nothing more to wait for
    machine.source.end()


def test_a_listener_that_takes_its_time_is_waited_for(machine: Machine) -> None:
    done, go = threading.Event(), threading.Event()

    def slow(_line: ConsoleLine) -> None:
        go.wait(10)
        done.set()

    machine.console.listen(slow)
    machine.console.start()
    machine.say(b"line\n")
    threading.Timer(0.1, go.set).start()
    machine.source.settle()
    assert done.is_set()
