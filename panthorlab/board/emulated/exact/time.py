# SPDX-License-Identifier: GPL-2.0-or-later
"""Exact time: the guest runs only while the host waits for it, and stops at fixed instruction counts.

The model stops the guest at each beat and asks here whether it may continue. So the host acts on the guest only at
beats, and looks at its output only when all output up to a beat has arrived: the guest cannot observe what the host
does or how long that takes.

A beat is a millisecond of guest time. The longer nothing has been said in either direction, the longer is the next one,
for a beat costs the host more than an idle guest does.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from panthorlab.board.boardtime import Taken
from panthorlab.board.exactrecord import message_line
from panthorlab.gpu.exact.loop import INSTRUCTION_SECONDS
from panthorlab.gpu.exact.wire import BEAT_SECONDS, HELD, MOST_BEATS, STOP, decode_held, encode_next_beat

STALL_SECONDS: Final = 60.0
"""Host seconds after which a guest that has not reached its next beat counts as stopped."""
SIGN_SECONDS: Final = 10.0
"""Host seconds after which the guest shows again that it runs."""
_CHUNK: Final = 1 << 18
_SHARE: Final = 4
"""A beat is at most this part of the silence before it: so late is, in proportion, what it ends with."""


class ExactTime:
    """See `BoardTime`. Not thread-safe: the one thread that waits also does the work of a reader thread.

    `host`: the socket with the model's beats. `agent`: the socket with the guest's output, which is passed to `deliver`
    after each beat, b"" at its end. `record`: file that gets every message of host and guest, one a line (see
    `exactrecord`).
    """

    def __init__(self, host: socket.socket, agent: socket.socket, record: Path | None = None) -> None:
        self._host, self._agent, self._record = host, agent, record
        agent.setblocking(False)
        self.deliver: Callable[[bytes], None] = lambda _data: None
        self.on_stop: Callable[[Callable[[], None]], None] = lambda go_on: go_on()
        """Called where the guest is to be stopped, with what lets it run to the end of its block."""
        self.patient: Callable[[], bool] = lambda: False
        """Whether a guest may execute nothing for longer than `STALL_SECONDS`: a debugger has it."""
        self.alive: Callable[[], None] = lambda: None
        """Called while the guest gets from beat to beat, every `SIGN_SECONDS`: a slow host is no guest that hangs."""
        self._signed = time.monotonic()
        self._settles: list[Callable[[], None]] = []
        self._count = 0
        self._talked = 0  # the count at which something was said last
        self._still = 0.0  # host seconds since the last beat, while the guest executes nothing or is gone
        self._running = True  # until the first beat
        self._gone = False
        self._said = hashlib.sha256()

    @property
    def held(self) -> bool:
        """Whether the guest is stopped at a beat, so that an action on it happens at a known instruction count."""
        return not self._running

    @property
    def count(self) -> int:
        """Instructions up to the last beat."""
        return self._count

    @property
    def still(self) -> bool:
        """Whether the guest was given up because it executes nothing."""
        return self._still > 0

    def now(self) -> float:
        """Seconds of guest time; and while the guest executes nothing any more, so that waits end, of the host's."""
        return self._count * INSTRUCTION_SECONDS + self._still

    def sleep(self, seconds: float) -> None:
        end = self.now() + seconds
        while self.now() < end:
            self._beat(end)

    def wait(self, changed: threading.Condition, done: Callable[[], bool], timeout: float) -> bool:
        end = self.now() + timeout
        while True:
            with changed:
                if done():
                    return True
            if self.now() >= end:
                return False
            self._beat(end)

    def take(self, items: queue.SimpleQueue[Taken], timeout: float) -> Taken | None:
        end = self.now() + timeout
        while items.empty():
            if self.now() >= end:
                return None
            self._beat(end)
        return items.get()

    def before_looking(self, settle: Callable[[], None]) -> None:
        self._settles.append(settle)

    def heard_and_told(self, told: bytes) -> None:
        """Record in the run's digest that `told` is sent to the guest now."""
        self._note(b">", told)

    def hexdigest(self) -> str:
        """SHA-256 over all data sent to and received from the guest, with the beats of each."""
        return self._said.hexdigest()

    def _note(self, way: bytes, message: bytes) -> None:
        self._talked = self._count
        self._said.update(way + b"%d %d " % (self._count, len(message)) + message)
        if self._record is not None:
            with self._record.open("a") as file:
                file.write(message_line(way.decode(), self._count, message))

    # -- one beat -----------------------------------------------------------------------------------------------

    def _beat(self, end: float) -> None:
        """Let the guest run to the next beat, and receive its output until then. `end`: of the wait."""
        if self._gone:
            self._still += 1.0
            time.sleep(0.01)  # gives the thread that ends the board time
            return
        said = bytearray()
        try:
            if not self._running:
                self._host.send(encode_next_beat(self._next_beat(end - self.now())))
                self._running = True
            self._running = not self._await_beat(said)
        except OSError:
            self._gone = True
        with contextlib.suppress(OSError):  # also of a guest that is gone: it said this before
            while self._hear(said):
                pass
        if said:
            self._note(b"<", bytes(said))
            self.deliver(bytes(said))
        if self._gone:
            self.deliver(b"")
        for settle in self._settles:
            settle()

    def _next_beat(self, left: float) -> int:
        """After how many milliseconds it is; `left`: seconds that somebody still waits."""
        silence = (self._count - self._talked) * INSTRUCTION_SECONDS
        return max(1, min(MOST_BEATS, int(silence / _SHARE / BEAT_SECONDS), math.ceil(left / BEAT_SECONDS - 1e-6)))

    def _go_on(self) -> None:
        self._host.send(encode_next_beat(1))

    def _await_beat(self, said: bytearray) -> bool:
        """Wait for the next beat; whether it came."""
        end = time.monotonic() + STALL_SECONDS
        while (left := end - time.monotonic()) > 0:
            ready = select.select([self._host, self._agent], (), (), left)[0]
            if self._agent in ready and not self._hear(said):
                self._gone = True
                return False
            if self._host in ready:
                data = self._host.recv(HELD.size)
                if not data:
                    self._gone = True
                    return False
                if (count := decode_held(data)) & STOP:
                    self.on_stop(self._go_on)
                    end = time.monotonic() + STALL_SECONDS
                    continue
                self._count = count
                self._still = 0.0
                self._sign()
                return True
            if time.monotonic() >= end and self.patient():
                end = time.monotonic() + STALL_SECONDS
        self._still += STALL_SECONDS
        return False

    def _sign(self) -> None:
        if (now := time.monotonic()) - self._signed >= SIGN_SECONDS:
            self._signed = now
            self.alive()

    def _hear(self, said: bytearray) -> bool:
        """Receive the available output; False at the end of the stream."""
        data = self._agent.recv(_CHUNK)
        said += data
        return bool(data)
