# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers on loopback: one that takes notices, one that misbehaves."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """A server that keeps what it is sent. `failures`: statuses of the next answers; `redirect`: where it sends to."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.failures: list[int] = []
        self.redirect: str | None = None
        self.answer = b"ok"
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.headers.append(dict(self.headers.items()))
                failed = receiver.failures.pop(0) if receiver.failures else 200
                self.send_response(307 if receiver.redirect else failed)
                if receiver.redirect:
                    self.send_header("Location", receiver.redirect)
                self.send_header("Content-Length", str(len(receiver.answer)))
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def server_bind(self) -> None:
                socketserver.TCPServer.server_bind(self)  # its own asks DNS for a name

        self.server = Server(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        # Or `shutdown` waits for ever once it was said that somebody is at the door who has gone meanwhile.
        self.server.socket.setblocking(False)
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def sent(self) -> dict[str, Any]:
        """The only body that came, parsed."""
        (body,) = self.bodies
        made = json.loads(body)
        assert isinstance(made, dict)
        return made

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Rude:
    """A TCP server that says `first` to whoever comes, and then a byte now and then, or nothing, for ever."""

    def __init__(self, first: bytes, drop: bytes) -> None:
        self.visited = threading.Event()
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._first, self._drop = first, drop
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:
                return  # closed: the test is over
            self.visited.set()
            threading.Thread(target=self._serve, args=(guest,), daemon=True).start()

    def _serve(self, guest: socket.socket) -> None:
        with guest:
            try:
                guest.sendall(self._first)
                while not self._ended.wait(0.02):
                    guest.sendall(self._drop)
            except OSError:
                return  # the guest gave up: wanted

    def close(self) -> None:
        self._ended.set()
        self._socket.close()
