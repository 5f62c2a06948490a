# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of boots in exact time, and the first place where two of them part."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.exactrecord import (
    ACCESSES,
    CONTEXT,
    MESSAGES,
    RecordedEvent,
    RecordError,
    first_difference,
    message_line,
    read_record,
)
from panthorlab.gpu.exact.digest import Digest


def write(folder: Path, seed: int = 1, *, count: int = 200) -> tuple[Path, list[str], list[str]]:
    """A record as model and host write it, and the lines of both files."""
    folder.mkdir()
    file, chance = io.StringIO(), random.Random(seed)  # noqa: S311
    digest, at, messages = Digest(file), 0, []
    for _ in range(count):
        at += chance.randrange(1, 2000)
        match chance.randrange(6):
            case 0:
                digest.read(at, chance.randrange(1 << 16), chance.randrange(1 << 32))
            case 1:
                digest.write(at, chance.randrange(1 << 16), chance.randrange(1 << 32))
            case 2:
                digest.interrupt(at, "job")
            case 3:
                digest.timer(at, "Mcu._serve")
            case 4:
                digest.blocks(at, chance.randrange(1, 1 << 64))
            case _:
                messages.append(message_line(chance.choice("<>"), at, chance.randbytes(chance.randrange(300))))
    accesses = file.getvalue().splitlines(keepends=True)
    (folder / ACCESSES).write_text("".join(accesses))
    (folder / MESSAGES).write_text("".join(messages))
    return folder, accesses, messages


def test_equal_records_have_no_difference(tmp_path: Path) -> None:
    one, accesses, messages = write(tmp_path / "one")
    other = write(tmp_path / "other")[0]
    events = list(read_record(one))
    assert first_difference(events, read_record(other)) is None
    assert len(events) == len(accesses) + len(messages)
    assert [event.count for event in events] == sorted(event.count for event in events)


@pytest.mark.parametrize("name", [ACCESSES, MESSAGES])
@pytest.mark.parametrize("what", ["later", "gone", "other"])
@given(where=st.integers(0, 20))
def test_whatever_is_changed_is_named_first(
    where: int, what: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("record")
    one, other = write(tmp_path / "one")[0], write(tmp_path / "other")[0]
    lines = (other / name).read_text().splitlines(keepends=True)
    changed = RecordedEvent.parse(lines[where])
    after = RecordedEvent.parse(lines[where + 1]).count
    lines[where : where + 1] = {
        "later": [f"{changed.kind} {min(changed.count + 1, after)} {changed.detail}\n"],
        "gone": [],
        "other": [f"{changed.kind} {changed.count} {changed.detail}x\n"],
    }[what]
    (other / name).write_text("".join(lines))
    found = first_difference(read_record(one), read_record(other))
    assert found is not None
    assert found.first == changed == found.event
    assert found.second != changed
    before = list(read_record(one))
    assert list(found.before) == before[: before.index(changed)][-CONTEXT:]


def test_a_record_that_ends_early_differs_where_it_ends(tmp_path: Path) -> None:
    one, accesses, _ = write(tmp_path / "one")
    other = write(tmp_path / "other")[0]
    (other / ACCESSES).write_text("".join(accesses[:-1]))
    found = first_difference(read_record(one), read_record(other))
    assert found is not None
    assert found.event == RecordedEvent.parse(accesses[-1])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("R 120 2000 1f", "register read at instruction 120: 0x2000 = 0x1f"),
        ("W 120 2000 1f", "register write at instruction 120: 0x2000 := 0x1f"),
        ("I 120 job", "interrupt at instruction 120: job"),
        ("T 120 Mcu._serve", "timer of the GPU model at instruction 120: Mcu._serve"),
        ("B 120 00ff", "code executed up to here at instruction 120: 00ff"),
    ],
)
def test_an_event_in_words(line: str, words: str) -> None:
    assert str(RecordedEvent.parse(line)) == words


@pytest.mark.parametrize("lines", [["X 1 a"], ["R"], ["R x 1 2"], ["R 1 2 3", "W"], ["R -1 2 3"], [""]])
def test_damage_is_no_event(lines: Sequence[str], tmp_path: Path) -> None:
    (tmp_path / ACCESSES).write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError):
        list(read_record(tmp_path))


def test_nothing_recorded_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_record(tmp_path))


def test_messages_that_begin_alike_differ() -> None:
    assert message_line(">", 1, b"a" * 500 + b"b") != message_line(">", 1, b"a" * 501)
