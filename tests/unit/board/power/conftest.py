# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay with a real HTTP server on loopback that misbehaves as real ones do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

NONCE = "60dc59c6"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # its own asks DNS for a name
        self.server_name, self.server_port = "relay", self.server_address[1]


class Relay:
    """Dialects: `/on /off /state` (plain), `/cm` (Tasmota), `/rpc/…` (Shelly), `/api/…` (Home Assistant)."""

    def __init__(self) -> None:
        self.on = True
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.switched: list[tuple[float, bool]] = []
        self.failures: list[int] = []
        """Statuses of the next answers, one each; the request has no effect."""
        self.stuck = 0  # so many requests to switch are answered well and ignored
        self.late: dict[bool, float] = {}  # on or off → seconds after which the relay does it
        self.mute = threading.Event()  # set: accepts connections, takes effect, and never answers
        self.ended = threading.Event()
        self.dribble = False
        self.answer: str | None = None  # instead of the right one
        self.password: str | None = None
        self.redirect: str | None = None
        self.server = Server(("127.0.0.1", 0), self._handler())
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def until_asked(self, count: int) -> None:
        """A client that gives up early may do so before a request that it has sent is read."""
        deadline = time.monotonic() + 30
        while len(self.requests) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def die(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def turn(self, on: bool) -> None:
        if self.stuck:
            self.stuck -= 1
            return

        def do() -> None:
            self.on = on
            self.switched.append((time.monotonic(), on))

        if on in self.late:
            threading.Timer(self.late[on], do).start()
        else:
            do()

    def reply(self, path: str, query: dict[str, str], body: bytes) -> str:
        word = "ON" if self.on else "OFF"
        if path in ("/on", "/off"):
            self.turn(path == "/on")
            return "OK"
        if path == "/state":
            return f"power={word}"
        if path == "/cm":
            name, _, wanted = query["cmnd"].partition(" ")
            if name not in ("Power1", "Power2"):
                return '{"Command":"Unknown"}'
            if wanted:
                self.turn(wanted == "On")
                word = wanted.upper()  # a plug says what it was told, also if its relay is stuck
            return json.dumps({"POWER" if name == "Power1" else "POWER2": word})
        if path == "/rpc/Switch.Set":
            was = self.on
            self.turn(query["on"] == "true")
            return json.dumps({"was_on": was})
        if path == "/rpc/Switch.GetStatus":
            return json.dumps({"id": 0, "output": self.on})
        if found := re.fullmatch(r"/api/services/switch/turn_(on|off)", path):
            assert json.loads(body) == {"entity_id": "switch.rock"}
            self.turn(found[1] == "on")
            return "[]"
        if path == "/api/states/switch.rock":
            return json.dumps({"state": word.lower()})
        return "?"

    def refusal(self, handler: BaseHTTPRequestHandler, query: dict[str, str]) -> dict[str, str] | None:
        """None if the request may pass, else the headers of a 401."""
        path, sent = urlsplit(handler.path).path, handler.headers.get("Authorization", "")
        if self.password is None:
            return None
        if path == "/cm":
            return None if query.get("password") == self.password else {}
        if path.startswith("/rpc/"):
            return (
                None
                if self._digest_right(handler, sent)
                else {"WWW-Authenticate": f'Digest qop="auth", realm="shelly", nonce="{NONCE}", algorithm=SHA-256'}
            )
        if path.startswith("/api/"):
            return None if sent == f"Bearer {self.password}" else {}
        return None if sent == "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode() else {}

    def _digest_right(self, handler: BaseHTTPRequestHandler, sent: str) -> bool:
        """RFC 7616 with SHA-256, computed by hand."""
        said = {key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|[^ ,]+)', sent)}
        if "response" not in said:
            return False
        ha1 = _sha(f"admin:shelly:{self.password}")
        ha2 = _sha(f"{handler.command}:{handler.path}")
        wanted = _sha(f"{ha1}:{NONCE}:{said['nc']}:{said['cnonce']}:{said['qop']}:{ha2}")
        return bool(said["response"] == wanted and said["username"] == "admin")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.requests.append(f"{self.command} {self.path}")
                relay.headers.append(dict(self.headers.items()))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                headers: dict[str, str] = {}
                if parts.path == "/nowhere":
                    status, text = 404, "there is no such page"
                elif relay.failures:
                    status, text = relay.failures.pop(0), "out of order"
                elif relay.redirect is not None:
                    status, text, headers = 302, "", {"Location": relay.redirect}
                elif (refused := relay.refusal(self, query)) is not None:
                    status, text, headers = 401, '{"WARNING":"Need user=<username>&password=<password>"}', refused
                else:
                    status, text = 200, relay.reply(parts.path, query, body)
                if relay.mute.is_set():
                    relay.ended.wait(30)
                    return
                self._say(status, relay.answer if relay.answer is not None and status == 200 else text, headers)

            do_POST = do_PUT = do_GET  # noqa: N815 - its base's names

            def _say(self, status: int, text: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text) + 10_000 * relay.dribble))
                self.end_headers()
                self.wfile.write(text.encode())
                try:
                    while relay.dribble and not relay.ended.wait(0.02):
                        self.wfile.write(b".")
                except OSError:
                    pass  # the client gave up: wanted

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
                pass

        return Handler


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    made.die()
