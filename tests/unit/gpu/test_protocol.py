# SPDX-License-Identifier: GPL-2.0-or-later
"""vfio-user framing: whatever the pieces, the same messages; whatever the bytes, a defined end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.vfio import protocol as p
from panthorlab.gpu.vfio.protocol import FramingError, Message, ProtocolError

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
MESSAGES = st.lists(st.builds(Message, U16, U16, U32, U32, st.binary(max_size=80)), max_size=8)


def reassemble(pieces: list[bytes]) -> list[Message]:
    """As a receiver does it: append what comes, take the whole messages off the front."""
    buffer, messages = b"", []
    for piece in pieces:
        buffer += piece
        for message in p.split(buffer, 0, len(buffer)):
            messages.append(message)
            buffer = buffer[p.HEADER.size + len(message.body) :]
    assert not buffer
    return messages


@given(MESSAGES, st.data())
def test_any_chunking_gives_the_same_messages(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(m.encode() for m in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert reassemble(pieces) == messages


@given(st.binary(max_size=200))
def test_any_bytes_end_in_messages_or_a_framing_error(data: bytes) -> None:
    taken = 0
    try:
        for message in p.split(data, 0, len(data)):
            taken += p.HEADER.size + len(message.body)
    except FramingError:
        size = int.from_bytes(data[taken + 4 : taken + 8], "little")
        assert not p.HEADER.size <= size <= p.MAX_MESSAGE
    else:
        rest = data[taken:]
        assert len(rest) < p.HEADER.size or int.from_bytes(rest[4:8], "little") > len(rest)


@pytest.mark.parametrize("size", [0, 15, p.MAX_MESSAGE + 1, 0xFFFFFFFF])
def test_impossible_sizes(size: int) -> None:
    header = p.HEADER.pack(1, 9, size, 0, 0)
    with pytest.raises(FramingError, match=f"{size} bytes"):
        list(p.split(header, 0, len(header)))


def test_known_layout() -> None:
    assert Message(1, 9, 0, 0, b"\xaa").encode().hex() == "01000900110000000000000000000000aa"
    assert [s.size for s in (p.HEADER, p.DMA_MAP, p.DMA_UNMAP, p.REGION_INFO, p.IRQ_SET, p.REGION_ACCESS)] == [
        16,
        32,
        24,
        32,
        20,
        16,
    ]


@given(st.integers(4, 300))
def test_version_reply_fits_the_buffer_of_the_request(size: int) -> None:
    reply = p.version_reply(p.VERSION.pack(0, 0) + b"x" * (size - 4))
    assert len(reply) <= size
    assert reply[:4] == b"\0\0\0\0"


def test_version_mismatch() -> None:
    with pytest.raises(ProtocolError, match=r"version 1\.0"):
        p.version_reply(p.VERSION.pack(1, 0))
    with pytest.raises(ProtocolError):
        p.version_reply(b"\0")
