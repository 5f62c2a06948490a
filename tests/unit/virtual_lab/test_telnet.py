# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.virtual_lab.telnet import SEND_BREAK, Piece, Reader, escape

WILL_COM_PORT, DO_COM_PORT = b"\xff\xfb\x2c", b"\xff\xfd\x2c"
REQUESTS = st.one_of(
    st.binary(max_size=20).map(lambda data: (escape(data), Piece(data))),
    st.just((SEND_BREAK, Piece(b"", breaks=1))),
    st.just((WILL_COM_PORT, Piece(b"", reply=DO_COM_PORT))),
    st.just((b"\xff\xfb\x03", Piece(b""))),  # WILL SUPPRESS-GO-AHEAD
    st.just(
        (
            b"\xff\xfa\x2c\x01\x00\x16\xe3\x60\xff\xf0",  # 1500000 baud
            Piece(b"", reply=b"\xff\xfa\x2c\x65\x00\x16\xe3\x60\xff\xf0"),
        )
    ),
    st.just((b"\xff\xfa\x2c\x05\x05\xff\xf0", Piece(b"", breaks=1, reply=b"\xff\xfa\x2c\x69\x05\xff\xf0"))),
    st.just((b"\xff\xfa\x2c\x05\x06\xff\xf0", Piece(b"", reply=b"\xff\xfa\x2c\x69\x06\xff\xf0"))),
)


@given(st.lists(REQUESTS, max_size=8), st.lists(st.integers(1, 6), min_size=1, max_size=20))
def test_any_stream_in_any_pieces(requests: list[tuple[bytes, Piece]], sizes: list[int]) -> None:
    stream = b"".join(request for request, _ in requests)
    reader, pieces, place = Reader(), list[Piece](), 0
    while place < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(reader.feed(stream[place : place + size]))
        place += size
    wanted = [piece for _, piece in requests]
    assert b"".join(piece.data for piece in pieces) == b"".join(piece.data for piece in wanted)
    assert sum(piece.breaks for piece in pieces) == sum(piece.breaks for piece in wanted)
    assert b"".join(piece.reply for piece in pieces) == b"".join(piece.reply for piece in wanted)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_no_bytes_upset_it(pieces: list[bytes]) -> None:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
