# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests make things go wrong: orders to the running lab, one JSON line each, on a socket in the lab's directory.

panthorlab itself never talks to it.
"""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tests.virtual_lab.lab import Lab, Position
from tests.virtual_lab.relay import Fault
from tests.virtual_lab.unix import short_path

SOCKET = "control.sock"
Order: TypeAlias = Callable[[Lab, Mapping[str, Any]], object]


def _position(lab: Lab, order: Mapping[str, Any]) -> Position:
    return next(position for position in lab.positions if position.board.name == order["board"])


def _relay(lab: Lab, order: Mapping[str, Any]) -> None:
    if order["fault"] is None:
        lab.relay.heal()
    else:
        outlet = _position(lab, order).outlet if "board" in order else None
        lab.relay.misbehave(Fault(order["fault"]), order.get("times"), outlet)


def _power(lab: Lab, order: Mapping[str, Any]) -> None:
    board = _position(lab, order).board
    if order["on"]:
        board.power_on()
    else:
        board.power_off()


def _state(lab: Lab, order: Mapping[str, Any]) -> dict[str, object]:
    board = _position(lab, order).board
    return {
        "power": board.has_power(),
        "power_ons": board.power_ons,
        "cpu": board.cpu,
        "pid": board.process.pid if board.process else None,
    }


def _freeze(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.signal(signal.SIGSTOP if order["frozen"] else signal.SIGCONT)


def _slow(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.slow_down(float(order["factor"]))


def _reset(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.reset()


def _network(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.plug(plugged=bool(order["plugged"]))


def _broken(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.break_down(broken=bool(order["broken"]))


def _garbage(lab: Lab, order: Mapping[str, Any]) -> None:
    _position(lab, order).board.uart.garbage(int(order["size"]))


def _console(lab: Lab, order: Mapping[str, Any]) -> None:
    service = _position(lab, order).console
    if order["running"]:
        service.start()
    else:
        service.stop()


def _tftp(lab: Lab, order: Mapping[str, Any]) -> None:
    if lab.tftp is not None:
        lab.tftp.pause(paused=bool(order["paused"]))


ORDERS: dict[str, Order] = {
    "relay": _relay,
    "power": _power,
    "state": _state,
    "freeze": _freeze,
    "slow": _slow,
    "reset": _reset,
    "garbage": _garbage,
    "console": _console,
    "tftp": _tftp,
    "network": _network,
    "broken": _broken,
}


class Control:
    """Takes orders until it is closed."""

    def __init__(self, lab: Lab) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    try:
                        order = json.loads(line)
                        answer: dict[str, object] = {"answer": ORDERS[order["order"]](lab, order)}
                    except Exception as error:  # the client is told
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        (lab.folder / SOCKET).unlink(missing_ok=True)
        with short_path(lab.folder, SOCKET) as path:
            self._server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class LabClient:
    """Gives orders to the lab in `folder`. Methods raise RuntimeError with the lab's words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = json.loads((folder / "lab.json").read_text())

    def board(self, name: str = "virtual-rk") -> dict[str, Any]:
        """Ports and files of a board, as `Lab.facts` has them."""
        found: dict[str, Any] = self.facts["boards"][name]
        return found

    def order(self, order: str, **arguments: object) -> Any:
        """Have one of `ORDERS` carried out, and give its answer."""
        with socket.socket(socket.AF_UNIX) as connection, short_path(self.folder, SOCKET) as path:
            connection.settimeout(60)
            connection.connect(path)
            connection.sendall(json.dumps({"order": order, **arguments}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def heal(self) -> None:
        """Undo every fault; boards keep what they have on their disks."""
        self.order("relay", fault=None)
        self.order("tftp", paused=False)
        for name in self.facts["boards"]:
            self.order("slow", board=name, factor=1)
            self.order("broken", board=name, broken=False)
            self.order("network", board=name, plugged=True)
            self.order("console", board=name, running=True)
