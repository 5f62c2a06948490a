# SPDX-License-Identifier: GPL-2.0-or-later
"""The telnet protocol: payload comes through whole, however the stream is cut; negotiations end."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.real.console.telnet import (
    BINARY,
    COM_PORT,
    DO,
    DONT,
    ECHO,
    IAC,
    MAX_SUBNEGOTIATION,
    SB,
    SE,
    SET_BAUDRATE,
    SGA,
    WILL,
    WONT,
    Telnet,
)

COMMANDS = st.one_of(
    st.binary(max_size=20).map(lambda data: (data, data.replace(b"\xff", b"\xff\xff"))),
    st.sampled_from([b"\xff\xf1", b"\xff\xf9"]).map(lambda raw: (b"", raw)),  # NOP, GA
    st.tuples(st.sampled_from([WILL, WONT, DO, DONT]), st.integers(1, 255)).map(
        lambda pair: (b"", bytes((IAC, *pair)))
    ),
    st.binary(max_size=20).map(
        lambda body: (b"", bytes((IAC, SB)) + body.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE)))
    ),
)


def binary() -> Telnet:
    telnet = Telnet(rfc2217=True)
    telnet.begin()
    telnet.receive(bytes((IAC, WILL, BINARY, IAC, DO, BINARY)))
    telnet.take()
    return telnet


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


@given(st.lists(COMMANDS), st.lists(st.integers(0, 400)))
def test_any_cutting_gives_the_payload_and_the_same_answers(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(raw for _, raw in parts)
    whole, cut = binary(), binary()
    payload = b"".join(cut.receive(piece) for piece in pieces(stream, cuts))
    assert payload == b"".join(data for data, _ in parts) == whole.receive(stream)
    assert (cut.take(), cut.local, cut.remote, cut.port) == (whole.take(), whole.local, whole.remote, whole.port)


@given(st.binary(), st.lists(st.integers(0, 400)), st.booleans())
def test_what_one_side_sends_the_other_receives(data: bytes, cuts: list[int], transparent: bool) -> None:
    sender, receiver = (binary(), binary()) if transparent else (Telnet(), Telnet())
    stream = sender.escape(data) + sender.escape(b".")
    assert b"".join(receiver.receive(piece) for piece in pieces(stream, cuts)) == data + b"."


@given(st.lists(st.tuples(st.sampled_from([WILL, WONT, DO, DONT]), st.integers(0, 50))))
def test_nothing_is_answered_twice(requests: list[tuple[int, int]]) -> None:
    telnet = Telnet(rfc2217=True)
    telnet.begin()
    stream = b"".join(bytes((IAC, *request)) for request in requests)
    telnet.receive(stream)
    telnet.take()
    telnet.receive(
        b"".join(
            bytes((IAC, verb, option))
            for verb, option in (
                *((DO, option) for option in telnet.local),
                *((WILL, option) for option in telnet.remote),
            )
        )
    )
    assert telnet.take() == b""


@given(st.binary(max_size=2000))
def test_two_of_us_come_to_an_end(noise: bytes) -> None:
    one, two = Telnet(rfc2217=True), Telnet(rfc2217=True)
    one.receive(noise)
    to_two, to_one = one.begin(), two.begin()
    for _ in range(10):
        two.receive(to_two)
        one.receive(to_one)
        to_two, to_one = one.take(), two.take()
    assert to_one == to_two == b""


@given(st.binary())
def test_no_stream_breaks_it(data: bytes) -> None:
    Telnet(rfc2217=True).receive(data)


def test_negotiation() -> None:
    telnet = Telnet(rfc2217=True)
    assert bytes((IAC, WILL, COM_PORT)) in telnet.begin()
    telnet.receive(bytes((IAC, DO, COM_PORT, IAC, DONT, SGA, IAC, WILL, ECHO, IAC, DO, ECHO, IAC, WILL, 99)))
    assert telnet.take() == bytes((IAC, DO, ECHO, IAC, WONT, ECHO, IAC, DONT, 99))
    assert telnet.local == {COM_PORT}
    assert telnet.refused == {SGA}
    assert bytes((IAC, WILL, COM_PORT)) not in Telnet().begin()


def test_speed() -> None:
    assert Telnet.port_setting(SET_BAUDRATE, 0xFF00, size=4) == b"\xff\xfa\x2c\x01\0\0\xff\xff\0\xff\xf0"
    telnet = binary()
    telnet.receive(b"\xff\xfa\x2c\x65\0\0\xff\xff\0\xff\xf0")
    assert telnet.port == {SET_BAUDRATE: 0xFF00}


def test_an_endless_subnegotiation_is_given_up() -> None:
    telnet = binary()
    telnet.receive(bytes((IAC, SB)) + b"x" * MAX_SUBNEGOTIATION)
    assert telnet.receive(b"text").endswith(b"text")
