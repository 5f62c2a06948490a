# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers on loopback that take notices, and some that misbehave."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from panthorlab.notify import mail, webhook
from panthorlab.notify.config import NotifySection
from panthorlab.notify.notice import Notice, NoticePart

BAD = Notice("run", "drm/panthor: Evict groups", "failed", 1, "/lab/runs/7", 1_767_268_800.0, 100.0, 20, 1)
HOSTILE = Notice(
    kind="run\r\nBcc: everybody@victim.example",
    title="=?utf-8?q?x=0ABcc=3A_a=40b.example?= \x1b[2J\u202e\ud800\r\nBcc: everybody@victim.example\r\n\r\nbody "
    + "A" * 10_000,
    verdict="failed\nX-Evil: 1",
    exit=1,
    directory="/lab/\x00<script>" + "d" * 10_000,
    parts=(
        NoticePart(
            "new\r\n.\r\nMAIL FROM:<x@y.example>", ("B" * 10_000, ".", "From me", "é" * 10_000, "\u2028\x85\x0b")
        ),
        *(NoticePart(f"part {number}", ("line",) * 500) for number in range(100)),
    ),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSES", (0.01,))
    monkeypatch.setattr(mail, "PAUSE", 0.01)


def section(**keys: Any) -> NotifySection:
    return NotifySection.model_validate(keys)


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
        self.visits = 0
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
            self.visits += 1
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def rude() -> Iterator[Callable[[bytes, bytes], Rude]]:
    made: list[Rude] = []

    def make(first: bytes, drop: bytes) -> Rude:
        made.append(Rude(first, drop))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PEM with key and certificate of 127.0.0.1, which nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture(scope="session")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
