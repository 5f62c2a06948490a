# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of `panthorlab gpu serve --exact`: the guest's CPU at one end, the host that may look at another."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from panthorlab.gpu.exact.loop import ExactLoop
from panthorlab.gpu.exact.wire import HELD, Ends, Page, decode_held, encode_go_on
from panthorlab.gpu.latency import Latencies

BEAT_SECONDS = 0.001
"""Of the guest's time between two moments at which the host can hear and be heard."""


class Exact:
    """The loop in the guest's time, and what it hangs on.

    At each beat the CPU is held until the host says go on: what the host does to the guest (a command, a misdeed)
    happens at a count, not at a time of the host's.
    """

    def __init__(self, ends: Ends, strategy: str, seed: int, on_error: Callable[[Exception], None]) -> None:
        self._page = Page(ends.page)
        self._sync, self._host = socket.socket(fileno=ends.sync), socket.socket(fileno=ends.host)
        self.loop = ExactLoop(on_error, self._page, Latencies(strategy, seed))
        self._go = False

    def begin(self) -> None:
        """Before the guest's first instruction."""
        self.loop.add_reader(self._sync.fileno(), self._held)
        self.loop.add_reader(self._host.fileno(), self._heard)
        self.loop.call_later(BEAT_SECONDS, self._beat)
        self.loop.leave()

    @property
    def blocks(self) -> int:
        """Hash of the blocks that the CPU has executed; 0 if nobody asked for it."""
        return self._page.blocks

    def close(self) -> None:
        self._sync.close()
        self._host.close()
        self._page.close()

    def _held(self) -> None:
        try:
            data = self._sync.recv(HELD.size)
        except ConnectionError:
            data = b""
        if not data:
            self.loop.stop()
            return
        count = decode_held(data)
        self.loop.held()
        if not self.loop.stopped:
            self._sync.send(encode_go_on(count))

    def _beat(self) -> None:
        self.loop.call_later(BEAT_SECONDS, self._beat)
        self._go = False
        try:
            self._host.send(HELD.pack(self.loop.count))
        except ConnectionError:
            self.loop.stop()
        self.loop.serve_until(lambda: self._go)

    def _heard(self) -> None:
        try:
            data = os.read(self._host.fileno(), 1)
        except ConnectionError:
            data = b""
        if data:
            self._go = True
        else:
            self.loop.stop()
