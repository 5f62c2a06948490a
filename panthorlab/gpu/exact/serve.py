# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time for `panthorlab gpu serve --exact`: connects the model's loop to the guest's CPU and to the host."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial

from panthorlab.gpu.exact.digest import Digest
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS, ExactLoop
from panthorlab.gpu.exact.wire import BEAT_SECONDS, HELD, STOP, Ends, Page, decode_held, decode_next_beat, encode_go_on
from panthorlab.gpu.latency import Latencies

TURN = "turn"
"""The kind of event after which another CPU goes on. QEMU runs the CPUs of a guest one after the other. By itself it
changes them when one of its timers is due, when a device interrupts one of them, and when one waits: mostly every few
milliseconds. A race between CPUs wants changes anywhere, so the model ends turns, too."""
TURN_LATENCIES = 20
"""A turn is that many latencies long: 0.4 ms where strategies draw none."""


class Exact:
    """The loop in guest time and its connections.

    At each beat the CPU is held until the host lets it go on. So what the host does to the guest (a command, a misdeed)
    happens at an instruction count, not at a host time.
    """

    def __init__(
        self,
        ends: Ends,
        latencies: Latencies,
        digest: Digest,
        on_error: Callable[[Exception], None],
        stop: int | None = None,
    ) -> None:
        """`stop`: the count at which the host is asked to stop the guest."""
        self._digest = digest
        self._page = Page(ends.page)
        self._sync, self._host = socket.socket(fileno=ends.sync), socket.socket(fileno=ends.host)
        self.loop = ExactLoop(on_error, self._page, latencies)
        self._go = 0  # beats until the host is to be asked again; 0: it has not answered
        self._stop_at = stop

    def begin(self) -> None:
        """Before the guest's first instruction."""
        self.loop.add_reader(self._sync.fileno(), self._held)
        self.loop.add_reader(self._host.fileno(), self._heard)
        self.loop.call_later(BEAT_SECONDS, self._beat)
        self.loop.call_later(BEAT_SECONDS, self._turn)
        if self._stop_at is not None:
            self.loop.aside = partial(self._ask, STOP)
            self.loop.call_later(self._stop_at * INSTRUCTION_SECONDS, self.loop.aside)
        self.loop.leave()

    @property
    def blocks(self) -> int:
        """Hash of the blocks that the CPU has executed; 0 if it was not requested."""
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
        self._digest.blocks(count, self.blocks)
        if not self.loop.stopped:
            self._sync.send(encode_go_on(count))

    def _beat(self) -> None:
        self._ask(0)
        self.loop.call_later(max(1, self._go) * BEAT_SECONDS, self._beat)

    def _ask(self, flag: int) -> None:
        """Ask the host whether the guest may go on."""
        self._go = 0
        try:
            self._host.send(HELD.pack(self.loop.count | flag))
        except ConnectionError:
            self.loop.stop()
        self.loop.serve_until(lambda: self._go > 0)

    def _turn(self) -> None:
        if self._page.cpus > 1:
            self._page.end_turn()
            self.loop.call_later(self.loop.latency(TURN) * TURN_LATENCIES, self._turn)

    def _heard(self) -> None:
        try:
            data = os.read(self._host.fileno(), 1)
        except ConnectionError:
            data = b""
        if data:
            self._go = decode_next_beat(data)
        else:
            self.loop.stop()
