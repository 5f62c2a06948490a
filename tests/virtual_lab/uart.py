# SPDX-License-Identifier: GPL-2.0-or-later
"""The board's serial line: it is there whether the board has power or not, like an adapter on a header.

One side is QEMU's serial port (telnet on a Unix socket, so that a BREAK gets in), while there is a QEMU. The other is
a pseudo terminal, and a telnet port for what can send a BREAK. What nobody reads is lost, as on a wire.
"""

from __future__ import annotations

import os
import pty
import secrets
import select
import selectors
import socket
import threading
import tty
from contextlib import suppress
from pathlib import Path

from tests.virtual_lab import telnet

_CHUNK = 65536
_HUNG_UP_POLL = 0.1  # seconds between looks whether somebody has opened the pseudo terminal


class Uart:
    """`tty`: a symbolic link to the pseudo terminal. `port`: of the telnet side, on loopback."""

    def __init__(self, link: Path) -> None:
        self.tty = link
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self._master, False)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._new_board: list[socket.socket] = []
        self._noise = b""
        self._board: socket.socket | None = None
        self._from_board = telnet.Reader()
        self._clients: dict[socket.socket, telnet.Reader] = {}
        self._closing = False
        for end in (self._listener, self._wake_read):
            self._selector.register(end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="uart", daemon=True)
        self._thread.start()

    def attach(self, board: socket.socket) -> None:
        """A QEMU has been started; its serial port is on this socket, which is ours from now on."""
        with self._lock:
            self._new_board.append(board)
        self._wake_write.send(b".")

    def inject(self, data: bytes) -> None:
        """Bytes on the wire that the board has not sent."""
        with self._lock:
            self._noise += data
        self._wake_write.send(b".")

    def garbage(self, size: int) -> None:
        """What a wrong speed or a loose ground looks like."""
        self.inject(secrets.token_bytes(size))

    def close(self) -> None:
        self._closing = True
        self._wake_write.send(b".")
        self._thread.join()
        self.tty.unlink(missing_ok=True)

    def _serve(self) -> None:
        watched = False
        while not self._closing:
            if (hung_up := self._hung_up()) == watched:
                if hung_up:
                    self._selector.unregister(self._master)
                else:
                    self._selector.register(self._master, selectors.EVENT_READ)
                watched = not hung_up
            for key, _ in self._selector.select(_HUNG_UP_POLL if hung_up else None):
                self._handle(key.fileobj)
        for end in (self._listener, self._wake_read, self._wake_write, self._board, *self._clients):
            if end is not None:
                end.close()
        os.close(self._master)

    def _handle(self, source: object) -> None:
        if source is self._wake_read:
            self._wake_read.recv(_CHUNK)
            self._take_orders()
        elif source is self._listener:
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[client] = telnet.Reader()
            self._selector.register(client, selectors.EVENT_READ)
        elif source is self._board and self._board is not None:
            data = _receive(self._board)
            if data:
                self._to_lab(self._from_board.feed(data).data)
            else:
                self._drop_board()
        elif source == self._master:
            try:
                self._to_board(telnet.escape(os.read(self._master, _CHUNK)))
            except OSError:  # the last reader closed it just now
                return
        elif isinstance(source, socket.socket) and source in self._clients:
            received = _receive(source)
            if not received:
                self._drop_client(source)
                return
            piece = self._clients[source].feed(received)
            self._to_board(telnet.SEND_BREAK * piece.breaks + telnet.escape(piece.data))
            self._to_client(source, piece.reply)

    def _take_orders(self) -> None:
        with self._lock:
            boards, self._new_board = self._new_board, []
            noise, self._noise = self._noise, b""
        for board in boards:
            self._drop_board()
            self._board, self._from_board = board, telnet.Reader()
            self._selector.register(board, selectors.EVENT_READ)
        if noise:
            self._to_lab(noise)

    def _to_lab(self, data: bytes) -> None:
        if not self._hung_up():
            with suppress(OSError):  # its reader is too slow, or has just gone: an overrun, as UARTs have them
                os.write(self._master, data)
        escaped = telnet.escape(data)
        for client in list(self._clients):
            self._to_client(client, escaped)

    def _to_client(self, client: socket.socket, stream: bytes) -> None:
        try:
            client.sendall(stream)
        except OSError:
            self._drop_client(client)

    def _to_board(self, stream: bytes) -> None:
        if self._board is not None:
            try:
                self._board.sendall(stream)
            except OSError:
                self._drop_board()

    def _drop_board(self) -> None:
        if self._board is not None:
            self._selector.unregister(self._board)
            self._board.close()
            self._board = None

    def _drop_client(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._master, 0)
        return bool(poll.poll(0))


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_CHUNK)
    except OSError:
        return b""
