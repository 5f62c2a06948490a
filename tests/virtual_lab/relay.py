# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay box on HTTP: outlets with `/N/on`, `/N/off`, `/N/state`, and Tasmota's `/cm?cmnd=PowerN …`; `/N/reset` pulses
the reset line of what hangs on the outlet.

It starts and kills the boards, and on request behaves as badly as such boxes do.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qs, urlsplit


class Fault(Enum):
    """How the relay misbehaves."""

    LIES = "lies"
    """Says that it has switched, also when asked for the state, and has not."""
    SILENT = "silent"
    """Switches nothing and says so when asked for the state, but every request succeeds."""
    TIMEOUT = "timeout"
    """Takes the request and never answers."""
    ERROR = "error"
    """Answers 500."""
    DEAD = "dead"
    """Refuses connections, until it is healed."""


class Switched(Protocol):
    """What hangs on an outlet."""

    def power_on(self) -> None: ...

    def power_off(self) -> None: ...

    def has_power(self) -> bool: ...

    def reset(self) -> None: ...


class Relay:
    """`port`: on loopback, the same for the relay's whole life. Outlets count from 1."""

    def __init__(self, boards: Sequence[Switched]) -> None:
        self.boards = tuple(boards)
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left: int | None = None
        self._faulty: int | None = None
        self._claimed: dict[int, bool] = {}
        self._healed = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = self._listen(0)

    def misbehave(self, fault: Fault, times: int | None, outlet: int | None = None) -> None:
        """From now on, or for the next `times` requests; of one outlet only, but for DEAD, which the whole box is."""
        self.heal()
        with self._lock:
            self._fault, self._left, self._faulty = fault, times, outlet
            self._healed.clear()
        if fault is Fault.DEAD:
            self._stop()

    def heal(self) -> None:
        """Behave. Requests that wait for an answer get none: their connections are closed."""
        with self._lock:
            self._fault, self._left, self._faulty = None, None, None
            self._claimed.clear()
            self._healed.set()
        if self._server is None:
            self._listen(self.port)

    def close(self) -> None:
        self._healed.set()
        self._stop()

    def answer(self, path: str) -> tuple[int, str, str] | None:
        """Status, type and text for a request; None: none at all."""
        fault = self._next_fault(_outlet(path))
        if fault is Fault.TIMEOUT:
            self._healed.wait()
            return None
        if fault is Fault.ERROR:
            return 500, "text/plain", "relay: internal error\n"
        url = urlsplit(path)
        if found := re.fullmatch(r"/(\d+)/(on|off|state)", url.path):
            on = self._switch(int(found[1]), found[2], fault)
            return (404, "text/plain", "no such outlet\n") if on is None else (200, "text/plain", _word(on) + "\n")
        if found := re.fullmatch(r"/([1-9]\d?)/reset", url.path):
            return self._reset(int(found[1]))
        if url.path == "/cm":
            return self._tasmota(parse_qs(url.query).get("cmnd", [""])[0], fault)
        return 404, "text/plain", "no such page\n"

    def _tasmota(self, command: str, fault: Fault | None) -> tuple[int, str, str]:
        """https://tasmota.github.io/docs/Commands/#power: `Power1` answers the state, `Power1 On` switches."""
        found = re.fullmatch(r"(?i)power(\d*)(?:\s+(on|off|0|1))?", command.strip())
        outlet = int(found[1] or 1) if found else 0
        wish = (
            {"1": "on", "0": "off", "": "state"}.get((found[2] or "").lower(), (found[2] or "").lower())
            if found
            else "state"
        )
        on = self._switch(outlet, wish, fault)
        if on is None:
            return 200, "application/json", json.dumps({"Command": "Unknown"})
        name = "POWER" if len(self.boards) == 1 else f"POWER{outlet}"
        return 200, "application/json", json.dumps({name: _word(on).upper()})

    def _reset(self, outlet: int) -> tuple[int, str, str]:
        if outlet > len(self.boards) or not self.boards[outlet - 1].has_power():
            return 404, "text/plain", "nothing to reset\n"
        self.boards[outlet - 1].reset()
        return 200, "text/plain", "reset\n"

    def _switch(self, outlet: int, wish: str, fault: Fault | None) -> bool | None:
        if not 1 <= outlet <= len(self.boards):
            return None
        board = self.boards[outlet - 1]
        with self._lock:
            if fault is Fault.LIES and wish != "state":
                self._claimed[outlet] = wish == "on"
            if fault is Fault.LIES and outlet in self._claimed:
                return self._claimed[outlet]
        if wish == "state":
            return board.has_power()
        if fault is None:
            if wish == "on":
                board.power_on()
            else:
                board.power_off()
        return wish == "on"

    def _next_fault(self, outlet: int) -> Fault | None:
        with self._lock:
            if self._fault is None or self._left == 0 or self._faulty not in (None, outlet):
                return None
            if self._left is not None:
                self._left -= 1
            return self._fault

    def _listen(self, port: int) -> int:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = relay.answer(self.path)
                if answer is None:
                    self.close_connection = True
                    return
                status, kind, text = answer
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Quiet: tests ask the boards what happened to them."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="relay", daemon=True).start()
        return int(self._server.server_address[1])

    def _stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _outlet(path: str) -> int:
    """Which one a request is about; Tasmota's `Power` is `Power1`."""
    found = re.match(r"/(\d+)/|/cm\?cmnd=(?i:power)(\d*)", path)
    return int(found[1] or found[2] or 1) if found else 0


def _word(on: bool) -> str:
    return "on" if on else "off"
