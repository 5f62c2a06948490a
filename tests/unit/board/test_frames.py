# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent protocol: any chunking of the bytes gives the same frames; what is no frame is refused."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import panthorlab.guest
from panthorlab.board.emulated import frames
from panthorlab.board.emulated.frames import Frame, FrameDecoder, FrameError, FrameType

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 2**32 - 1), st.sampled_from(FrameType), st.binary(max_size=300)), max_size=20
)


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_any_chunking_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(map(frames.encode, sent))
    decoder, got, offset = FrameDecoder(), [], 0
    while offset < len(stream):
        size = cuts[offset % len(cuts)]
        got += decoder.feed(stream[offset : offset + size])
        offset += size
    assert got == sent


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_waits_for_more(data: bytes) -> None:
    try:
        got = FrameDecoder().feed(data)
    except FrameError:
        return
    assert b"".join(map(frames.encode, got)) == data[: sum(frames.HEADER.size + len(f.data) for f in got)]


@pytest.mark.parametrize(
    "header", [frames.HEADER.pack(frames.MAX_SIZE + 1, 1, FrameType.STDOUT), frames.HEADER.pack(0, 1, 77)]
)
def test_bad_header(header: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(header)


def test_largest_frame_passes_and_one_byte_more_does_not() -> None:
    largest = Frame(3, FrameType.STDIN, bytes(frames.MAX_SIZE))
    assert FrameDecoder().feed(frames.encode(largest)) == [largest]
    with pytest.raises(FrameError):
        frames.encode(Frame(3, FrameType.STDIN, bytes(frames.MAX_SIZE + 1)))


@given(st.integers(-64, 255))
def test_exit_status(status: int) -> None:
    assert frames.parse_exit(struct.pack("<i", status)) == status


def test_exec_layout() -> None:
    frame = frames.exec_frame(7, ["/bin/x", "a b", ""], {"K": "v"}, with_stdin=True)
    assert frame.data == struct.pack("<II", 1, 3) + b"/bin/x\0a b\0\0K=v\0"


@pytest.mark.parametrize("argv", [[], [""], ["x", "a\0b"]])
def test_exec_refuses(argv: list[str]) -> None:
    with pytest.raises(ValueError, match=r"program|NUL"):
        frames.exec_frame(1, argv, {}, with_stdin=False)


def test_hello_of_another_version() -> None:
    good = struct.pack("<IQ36s", frames.VERSION, 380_000_000, b"0123")
    assert frames.parse_hello(good).uptime == pytest.approx(0.38)
    with pytest.raises(FrameError, match="rebuild"):
        frames.parse_hello(struct.pack("<IQ36s", frames.VERSION + 1, 0, b""))
    with pytest.raises(FrameError):
        frames.parse_hello(good[:-1])


def test_the_c_side_has_the_same_numbers() -> None:
    header = Path(panthorlab.guest.__path__[0], "agent.h").read_text()
    numbers = {name: int(value) for name, value in re.findall(r"#define AGENT_(\w+)\s+(\d+)u?\b", header)}
    for frame_type in FrameType:
        assert numbers.pop(frame_type.name) == frame_type
    assert numbers == {"VERSION": frames.VERSION, "MAX": frames.MAX_SIZE, "WINDOW": frames.WINDOW}
    assert f'"{frames.PORT_NAME}"' in header
