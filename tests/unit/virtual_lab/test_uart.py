# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import socket
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual_lab.telnet import SEND_BREAK
from tests.virtual_lab.uart import Uart


@pytest.fixture
def uart(tmp_path: Path) -> Iterator[Uart]:
    made = Uart(tmp_path / "tty")
    yield made
    made.close()


def receive(connection: socket.socket, size: int) -> bytes:
    connection.settimeout(10)
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


def attach(uart: Uart) -> socket.socket:
    ours, theirs = socket.socketpair()
    uart.attach(theirs)
    return ours


def test_a_break_and_every_byte_get_through(uart: Uart) -> None:
    board = attach(uart)
    with board, socket.create_connection(("127.0.0.1", uart.port)) as client:
        client.sendall(SEND_BREAK + b"a\xff\xffz")
        assert receive(board, 6) == SEND_BREAK + b"a\xff\xffz"
        board.sendall(b"\xff\xfb\x01" + b"q\xff\xff")  # QEMU offers to echo, then speaks
        assert receive(client, 3) == b"q\xff\xff"


def test_the_line_outlives_the_board(uart: Uart) -> None:
    with socket.create_connection(("127.0.0.1", uart.port)) as client:
        for text in (b"first", b"second"):
            with attach(uart) as board:
                client.sendall(b"x")
                assert receive(board, 1) == b"x"
                board.sendall(text)
                assert receive(client, len(text)) == text


def test_the_pseudo_terminal_is_opened_and_closed_at_will(uart: Uart) -> None:
    with attach(uart) as board:
        for _ in range(3):
            terminal = os.open(uart.tty, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(terminal)
            os.write(terminal, b"\xff!")
            assert receive(board, 3) == b"\xff\xff!"
            board.sendall(b"ok")
            assert os.read(terminal, 2) == b"ok"
            os.close(terminal)


def test_noise_comes_from_nowhere(uart: Uart) -> None:
    with socket.create_connection(("127.0.0.1", uart.port)) as client, attach(uart) as board:
        client.sendall(b"x")
        receive(board, 1)  # the line has both now
        uart.inject(b"\x00\x80")
        assert receive(client, 2) == b"\x00\x80"
